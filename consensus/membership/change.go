package membership

import (
	"errors"
	"fmt"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/faults"
)

// An Answer is what a safekeeper told of the timeline, all of one moment.
type Answer struct {
	Generation core.Generation // of its configuration
	Term       core.Term       // the highest it has promised to
	Position   consensus.Position
	// Missing says that it does not have the timeline; the rest is zero.
	Missing bool
}

// position is where the log ends.
func (a Answer) position() consensus.Position {
	if faults.On && faults.Hit(faults.SyncByTerm) {
		return consensus.Position{Term: a.Term, Flush: a.Position.Flush}
	}
	return a.Position
}

// A TaskKind says what a safekeeper is asked for.
type TaskKind uint8

// The tasks of a change. Each may be done any number of times, late, or after
// its change is over: the safekeeper compares generations.
const (
	Put     TaskKind = iota + 1 // take a configuration
	Pull                        // copy the timeline from a member
	Bump                        // promise to a term
	Exclude                     // give the timeline up
)

func (k TaskKind) String() string { return [...]string{"", "put", "pull", "bump", "exclude"}[k] }

// A Task is one request to one safekeeper. The answer goes to [Change.Answered].
type Task struct {
	Kind   TaskKind
	Node   consensus.Member
	Config consensus.Configuration // that the request carries
	Donors []consensus.Member      // Pull: who may have the timeline
	Term   core.Term               // Bump
}

// A StepKind says what is to be done next.
type StepKind uint8

// The kinds of a step.
const (
	// Write the Record to the register in the place of the one that the change
	// was begun with, if that is still there, and begin with what is there then.
	Write StepKind = iota + 1
	// Ask all Tasks, at once or in any order. Those that fail are asked again:
	// a step that gives the same tasks waits for something that is yet to come.
	Ask
	// Done: the register says what was wanted, a majority knows it, and nothing
	// is left to be tidied up.
	Done
)

// A Step is what is to be done next.
type Step struct {
	Kind   StepKind
	Record Record
	Tasks  []Task
}

// ErrSuperseded reports a safekeeper with a configuration that is newer than
// the record a change was begun with.
var ErrSuperseded = errors.New("there is a newer membership configuration")

// A Change is the way of a timeline from the set that a record names to the
// one that is wanted.
type Change struct {
	record  Record
	wanted  []consensus.Member
	answers map[core.NodeID]Answer
	gone    map[core.NodeID]bool // has given the timeline up
	sync    *syncPoint           // nil until enough of the old set have answered
}

// A syncPoint is what no log of a generation before the joint one can be ahead
// of, and no vote of it above.
type syncPoint struct {
	position consensus.Position
	term     core.Term
}

// Toward begins, or goes on with, a change from what the register holds. A
// change to another set that is under way is finished first; one to what is
// wanted is gone on with; and to want the set that a change under way began
// with aborts that.
func Toward(r Record, wanted []consensus.Member) (*Change, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if r.Deleted {
		return nil, errors.New("the timeline is deleted: its members change no more")
	}
	if err := (consensus.Configuration{Generation: 1, Members: wanted}).Check(); err != nil {
		return nil, fmt.Errorf("wanted members: %w", err)
	}
	return &Change{record: r, wanted: wanted, answers: map[core.NodeID]Answer{}, gone: map[core.NodeID]bool{}}, nil
}

// Answered takes what a safekeeper answered to a task. [ErrSuperseded] means
// that the register is to be read again.
func (c *Change) Answered(t Task, a Answer) error {
	if t.Kind == Exclude {
		c.gone[t.Node.ID] = true
		return nil
	}
	if a.Generation > c.record.Config.Generation {
		return fmt.Errorf("%w: safekeeper %d is at generation %d, the register was at %d",
			ErrSuperseded, t.Node.ID, a.Generation, c.record.Config.Generation)
	}
	c.answers[t.Node.ID] = a
	c.synchronise()
	return nil
}

// InForce tells whether the wanted set is the timeline's and a majority of it
// knows. What is then left is to be tidied up.
func (c *Change) InForce() bool {
	conf := c.record.Config
	return len(conf.NewMembers) == 0 && SameMembers(conf.Members, c.wanted) && c.majority(conf.Members, c.current)
}

// Next says what is to be done.
func (c *Change) Next() Step {
	if len(c.record.Config.NewMembers) > 0 {
		return c.cross()
	}
	if !SameMembers(c.record.Config.Members, c.wanted) {
		return c.enter()
	}
	return c.settle()
}

// enter begins the change: from here on the old set alone decides nothing new.
func (c *Change) enter() Step {
	conf := c.record.Config
	next := consensus.Configuration{Generation: conf.Generation + 1, Members: conf.Members, NewMembers: c.wanted}
	if faults.On && faults.Hit(faults.MembersSwapped) {
		next.Members, next.NewMembers = c.wanted, nil
	}
	return c.write(next, c.record.Leavers)
}

// write replaces the record. Whoever comes with it is an arrival, and whoever
// goes with it is none any more.
func (c *Change) write(conf consensus.Configuration, leavers []consensus.Member) Step {
	r := Record{Config: conf, Leavers: without(leavers, conf.Union())}
	for _, a := range c.record.Arrivals {
		if conf.Has(a.Node) {
			r.Arrivals = append(r.Arrivals, a)
		}
	}
	for _, m := range without(conf.NewMembers, c.record.Config.Union()) {
		r = r.Arriving(m.ID, "")
	}
	return Step{Kind: Write, Record: r}
}

// cross brings a joint configuration to its end.
func (c *Change) cross() Step {
	conf := c.record.Config
	if SameMembers(c.wanted, conf.Members) {
		return c.leave(conf.Members, conf.NewMembers)
	}
	// Copies first: the old set goes on alone until the new one can keep up.
	if tasks := c.copies(without(conf.NewMembers, conf.Members)); len(tasks) > 0 {
		return Step{Kind: Ask, Tasks: tasks}
	}
	if c.sync == nil {
		return Step{Kind: Ask, Tasks: c.puts(conf.Members)}
	}
	if !c.majority(conf.NewMembers, c.level) && !(faults.On && faults.Hit(faults.FinishUnsynced)) {
		return Step{Kind: Ask, Tasks: c.levelling()}
	}
	return c.leave(conf.NewMembers, conf.Members)
}

// leave ends the joint configuration with one of its sets.
func (c *Change) leave(members, others []consensus.Member) Step {
	leavers := append(without(c.record.Leavers, others), without(others, members)...)
	return c.write(consensus.Configuration{Generation: c.record.Config.Generation + 1, Members: members}, leavers)
}

// settle makes an end of a change known.
func (c *Change) settle() Step {
	conf := c.record.Config
	tasks := c.puts(conf.Members)
	if !c.majority(conf.Members, c.current) {
		return Step{Kind: Ask, Tasks: tasks}
	}
	// Who has left is told once nobody is needed any more who might not know.
	left := c.record.Leavers[:0:0]
	for _, m := range c.record.Leavers {
		if !c.gone[m.ID] {
			left = append(left, m)
			tasks = append(tasks, Task{Kind: Exclude, Node: m, Config: conf})
		}
	}
	if len(left) < len(c.record.Leavers) {
		return c.write(conf, left)
	}
	if len(tasks) > len(c.Lost()) {
		return Step{Kind: Ask, Tasks: tasks}
	}
	return Step{Kind: Done}
}

// Lost are the members that have lost the timeline, as far as that is known:
// nobody waits for them, and they are to be replaced.
func (c *Change) Lost() (list []consensus.Member) {
	for _, m := range c.record.Config.Members {
		if c.answers[m.ID].Missing && !c.mayCopy(m.ID) {
			list = append(list, m)
		}
	}
	return list
}

// mayCopy tells whether a member that does not have the timeline may be one that
// never had it. Who has lost it gave votes and acknowledged WAL that proposers
// count with: as a copy it would be counted for what it does not have.
func (c *Change) mayCopy(id core.NodeID) bool {
	return c.record.Arrival(id) != nil || faults.On && faults.Hit(faults.LostMemberCopies)
}

// current tells whether a safekeeper has the configuration of the record.
func (c *Change) current(id core.NodeID) bool {
	a, ok := c.answers[id]
	return ok && !a.Missing && a.Generation == c.record.Config.Generation
}

// copies asks those for a copy of the timeline who have none.
func (c *Change) copies(incoming []consensus.Member) (tasks []Task) {
	for _, m := range incoming {
		if !c.current(m.ID) {
			tasks = append(tasks, Task{Kind: Pull, Node: m, Config: c.record.Config, Donors: c.record.Config.Members})
		}
	}
	return tasks
}

// puts asks those to take the configuration who have not, or who are to get
// the timeline first. Whoever has lost it is asked whether that is still so: its
// disk may come back.
func (c *Change) puts(set []consensus.Member) (tasks []Task) {
	for _, m := range set {
		switch a := c.answers[m.ID]; {
		case c.current(m.ID):
		case a.Missing && c.mayCopy(m.ID):
			donors := without(c.record.Config.Members, []consensus.Member{m})
			tasks = append(tasks, Task{Kind: Pull, Node: m, Config: c.record.Config, Donors: donors})
		default:
			tasks = append(tasks, Task{Kind: Put, Node: m, Config: c.record.Config})
		}
	}
	return tasks
}

// synchronise fixes the sync point once a majority of the old set is at the
// joint generation. Whatever the old set committed alone was acknowledged by a
// majority of it before; one of these is among those that answered, and its
// position was then at or beyond that. The last term of the log counts, not the
// term promised to: a safekeeper may have promised to a term of which it has
// nothing.
func (c *Change) synchronise() {
	conf := c.record.Config
	if len(conf.NewMembers) == 0 || c.sync != nil || !c.majority(conf.Members, c.current) &&
		!(faults.On && faults.Hit(faults.SyncByFew) && c.any(conf.Members)) &&
		!(faults.On && faults.Hit(faults.FinishUnheard)) {
		return
	}
	s := &syncPoint{}
	for _, m := range conf.Members {
		if !c.current(m.ID) {
			continue
		}
		a := c.answers[m.ID]
		s.term = max(s.term, a.Term)
		if at := a.position(); s.position.Less(at) {
			s.position = at
		}
	}
	c.sync = s
}

func (c *Change) any(set []consensus.Member) bool {
	for _, m := range set {
		if c.current(m.ID) {
			return true
		}
	}
	return false
}

// level tells whether a safekeeper has all that the old set can have committed
// alone, and obeys no proposer that the old set had outvoted.
func (c *Change) level(id core.NodeID) bool {
	a := c.answers[id]
	return c.current(id) && !a.position().Less(c.sync.position) && a.Term >= c.sync.term
}

// levelling asks those of the new set how far they are who are not level yet.
// A proposer, or the other safekeepers if there is none, brings them there.
func (c *Change) levelling() (tasks []Task) {
	for _, m := range c.record.Config.NewMembers {
		switch {
		case c.current(m.ID) && c.answers[m.ID].Term < c.sync.term:
			tasks = append(tasks, Task{Kind: Bump, Node: m, Config: c.record.Config, Term: c.sync.term})
		case !c.level(m.ID):
			tasks = append(tasks, Task{Kind: Put, Node: m, Config: c.record.Config})
		}
	}
	return tasks
}

func (c *Change) majority(set []consensus.Member, yes func(core.NodeID) bool) bool {
	n := 0
	for _, m := range set {
		if yes(m.ID) {
			n++
		}
	}
	return n >= consensus.Majority(len(set))
}
