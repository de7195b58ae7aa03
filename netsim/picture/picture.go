package picture

import "time"

// A Picture is a run as it is shown. Times are since the start of the world.
type Picture struct {
	Title   string // in one line: which run
	Verdict string // in one line: what it came to
	Failed  bool
	// Story tells the run in about ten lines.
	Story []Line
	// Began is zero on the axis; Failure is when the run was stopped, if it was.
	Began, End, Failure time.Duration
	// WrongAt is when the first wrong fact was, Never if that is not known: a
	// search through a history finds it after the run.
	WrongAt time.Duration
	Wrong   []int // lanes that the first wrong fact is about
	Lanes   []Lane
	Bands   []Band
	Arrows  []Arrow
	Marks   []Mark
	Series  []Series
	// Unit is what curves count; numbers of unit "LSN" are written as such.
	Unit  string
	Calls []Call
	Pages []Page
	// Omitted says what there was and is not shown.
	Omitted []string
	// Changes are those that make the plan of this run out of the other one's,
	// in a comparison.
	Changes []Change
}

// A Line is a sentence of the story.
type Line struct {
	At   time.Duration // before the start of the world: at no moment
	Text string
	Kind string // fault, role, wrong, or "" for the rest
}

// Never is the time of what has none.
const Never = time.Duration(-1)

// A Lane is a process, or something else that events belong to.
type Lane struct {
	Name  string
	Rank  int    // lanes are drawn by rank, then in the order in which they came
	Aside bool   // of little interest: not drawn before somebody asks for it
	Alive []Span // incarnations: Text is how it ended
	Roles []Span
	Load  []int // messages and other events of the lane in each of loadBins equal parts of the run
}

// A Span is a time on a lane.
type Span struct {
	From, To time.Duration
	Text     string
	Kind     string // of a role: what it is coloured by
	Number   uint64 // incarnation, term
}

// A Band is a fault, or work of an operator, that lasted.
type Band struct {
	From, To time.Duration
	Lanes    []int // whom it befell; none is everybody
	Text     string
	Kind     string // fault, work
	Struck   bool   // it found a victim
	Effect   bool   // it changed the course of the run
}

// An Arrow is a message from one lane to another.
type Arrow struct {
	Sent, Arrived time.Duration // Arrived is Never if it did not
	From, To      int
	Kind          string
	Text          string
	Bytes         int
	Weight        Weight
}

// A Mark is an event on one lane.
type Mark struct {
	At     time.Duration
	Lane   int
	Kind   string // "disk sync", "object put", "note elected": the first word is the group
	Text   string
	Weight Weight
}

// Weight says how much is lost if something is not shown.
type Weight uint8

// The weights: what is Common is kept near moments that matter only.
const (
	Common Weight = iota
	Telling
)

// A Series is a number over time, as steps.
type Series struct {
	Name  string // of the curve: "flush"
	Lane  int
	Group string // curves of one group share an axis: a timeline
	At    []time.Duration
	Value []uint64
}

// A Call is what a client asked and was told.
type Call struct {
	From, To time.Duration // To is Never for an outcome that nobody learned
	Client   int
	Group    string
	Text     string
	Key      string
	Outcome  string // ok, failed, unknown
}

// A Page is a text, or an HTML document of its own, that belongs to the run.
type Page struct {
	Name string
	Text string
	HTML bool
}

// A Change is a line of a plan that only one of two runs has.
type Change struct {
	Only string // this, other, or "" for both
	Text string
}
