package fuzz

import (
	"cmp"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"xenon/netsim"
)

// A Step is one fault of a plan.
type Step struct {
	At    time.Duration // since the clients began
	Class Class
	Which int           // whom it befalls, or what it is drawn from
	For   time.Duration // until it is mended
}

func (s Step) String() string {
	return fmt.Sprintf("%7.3fs %s #%d for %.3fs", s.At.Seconds(), s.Class, s.Which, s.For.Seconds())
}

// A Plan is everything about a run that was decided beforehand.
type Plan struct {
	Version int `json:"version"` // of the text, see planVersion
	// Seed is that of everything else: latencies, the order of tasks. Forks are
	// the steps from which on another one is.
	Seed     uint64        `json:"seed"`
	Forks    []netsim.Fork `json:"forks,omitempty"`
	Judge    Judge         `json:"judge,omitempty"`
	Topology Topology      `json:"topology"`
	Blank    int           `json:"blank"` // which of the blank clusters
	Load     load          `json:"load"`
	Policy   netsim.Policy `json:"policy"`
	Even     bool          `json:"even"` // links take the same time always
	Yields   int           `json:"yields"`
	Wakes    int           `json:"wakes"`
	Length   time.Duration `json:"length"` // of the time in which faults begin
	// Busy is when clients are busy; nothing is always. They may overlap.
	Busy  []Stretch `json:"busy,omitempty"`
	Steps []Step    `json:"steps"` // in order
	Acts  []Act     `json:"acts"`  // in order
}

// few classes are all meant to strike.
const few = 4

// Dice are where the decisions of a plan come from: each thing that is decided
// has a stream of its own, by its name, so that a new class of faults, a new
// deed or another knob moves nothing else in the plans of all seeds.
type dice uint64

func (d dice) of(format string, args ...any) *rand.Rand {
	return netsim.Stream(uint64(d), "plan "+fmt.Sprintf(format, args...))
}

// pick draws one of a list.
func (d dice) pick(name string, list ...int) int { return list[d.of("%s", name).IntN(len(list))] }

// drawPlan makes the plan of a run with faults of the classes given: each is in
// or out by the throw of a coin, and how often it strikes is drawn, too.
func drawPlan(seed uint64, from []Class) *Plan {
	d := dice(seed)
	p := &Plan{Version: planVersion, Seed: seed, Topology: drawTopology(d), Blank: d.of("blank").IntN(len(blanks)), Load: drawLoad(d)}
	p.Length = drawLength(d)
	p.Busy = drawStretches(d, p.Length)
	p.Policy.Kind = netsim.PolicyKind(d.of("policy").IntN(netsim.PolicyKinds))
	switch p.Policy.Kind {
	case netsim.ByPriority:
		p.Policy.Depth = 1 + d.of("depth").IntN(10)
	case netsim.StarveProc:
		p.Policy.Starved = []string{"sk1", "sk2", "compute1", "ps1"}[d.of("starved").IntN(4)]
	case netsim.Biased:
		p.Policy.Stay = d.pick("stay", 500, 900, 990)
	}
	p.Yields, p.Wakes = d.pick("yields", 0, 5, 50), d.pick("wakes", 0, 0, 5)
	gathered := d.pick("gathered", 0, 50, 80, 95)
	for _, c := range from {
		p.Steps = append(p.Steps, p.drawSteps(d, c, gathered, len(from) <= few)...)
	}
	p.Acts = drawActs(d, p.Length)
	p.sort()
	return p
}

// sort puts stretches, steps and acts in order. Equal times are told apart by names, so
// that it does not matter in which order classes and deeds are declared.
func (p *Plan) sort() {
	slices.SortFunc(p.Busy, func(a, b Stretch) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.For, b.For)) })
	slices.SortFunc(p.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Class.String(), b.Class.String()), cmp.Compare(a.Which, b.Which))
	})
	slices.SortFunc(p.Acts, func(a, b Act) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Deed.String(), b.Deed.String()), cmp.Compare(a.Which, b.Which))
	})
}

// clone is a plan that shares nothing with p.
func (p *Plan) clone() *Plan {
	q := *p
	q.Forks, q.Busy, q.Steps, q.Acts = slices.Clone(p.Forks), slices.Clone(p.Busy), slices.Clone(p.Steps), slices.Clone(p.Acts)
	q.Policy.Within = slices.Clone(p.Policy.Within)
	return &q
}

// drawTopology makes most runs those of the usual size.
func drawTopology(d dice) Topology {
	size := func(name string, usual, most int) int {
		r := d.of("%s", name)
		if r.IntN(10) < 6 {
			return usual
		}
		return 1 + r.IntN(most)
	}
	return Topology{
		Safekeepers: size("safekeepers", usual.Safekeepers, most.Safekeepers),
		Pageservers: size("pageservers", usual.Pageservers, most.Pageservers),
		Computes:    size("computes", usual.Computes, most.Computes),
	}
}

// drawSteps makes the steps of one class, none if it is out.
func (p *Plan) drawSteps(d dice, c Class, gathered int, sure bool) []Step {
	r := d.of("class %s", c)
	if !sure && r.IntN(100) >= c.odds() {
		return nil
	}
	times := logUniform(r, 5)
	if c == Strand {
		times += 2 // mostly there is nobody to strand, or nothing comes of it
	}
	steps := make([]Step, times)
	for i := range steps {
		r := d.of("class %s step %d", c, i)
		steps[i] = Step{At: p.when(r, c, gathered), Class: c, Which: r.IntN(1 << 16), For: lasting(r, c)}
	}
	return steps
}

// millis draws a time below limit: in whole milliseconds, as it is written.
func millis(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(limit.Milliseconds())) * time.Millisecond
}

// logUniform draws a number from 1 to limit, each order of magnitude as often
// as any other.
func logUniform(r *rand.Rand, limit int) int {
	least := 1 << r.IntN(bits.Len(uint(limit)))
	return min(limit, least+r.IntN(least))
}
