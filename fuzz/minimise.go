package fuzz

import (
	"reflect"
	"slices"
	"time"

	"xenon/netsim"
)

// A Budget bounds what a minimiser may do.
type Budget struct {
	Runs int         // at most so many
	Left func() bool // is asked before each run whether there is time for it; nil is always
}

// Minimise makes a plan that fails smaller for as long as it fails in the same
// way: by the same oracle, which says the same. It takes away faults, acts,
// nodes, what is odd about the load, the lengths of things, jitter, and the
// freedom of the scheduler, again and again until nothing more goes. It returns
// the smallest plan and what came of it; nil if p does not fail. It takes so
// many runs at most.
func Minimise(p *Plan, runs int) (*Plan, *Result) { return Budget{Runs: runs}.Minimise(p) }

// Minimise does so within a budget.
func (b Budget) Minimise(p *Plan) (*Plan, *Result) {
	r := Run(Options{Plan: p})
	if r.Err == nil {
		return p, nil
	}
	m := &minimiser{best: p, result: r, budget: b, seeds: 1}
	m.cutBehind()
	for m.left() {
		before, seeds := m.accepted, m.seeds
		m.pass()
		// Once nothing goes with the streams as they are, other streams may do.
		if m.seeds = moreSeeds; m.accepted == before && seeds == moreSeeds {
			break
		}
	}
	return m.best, m.result
}

// moreSeeds is with how many seeds of the streams a smaller plan is tried.
const moreSeeds = 4

type minimiser struct {
	best     *Plan
	result   *Result
	budget   Budget
	seeds    int // of streams that each candidate is tried with
	accepted int // candidates
}

func (m *minimiser) left() bool {
	return m.budget.Runs > 0 && (m.budget.Left == nil || m.budget.Left())
}

// pass takes away whatever it can, one thing after the other.
func (m *minimiser) pass() {
	m.steps()
	m.acts()
	m.stretches()
	m.topology()
	m.loads()
	m.times()
	m.links()
	m.schedule()
}

// try keeps a change if the plan still fails in the same way.
func (m *minimiser) try(change func(p *Plan)) bool {
	base := m.best
	for i := range m.seeds {
		if !m.left() {
			return false
		}
		m.budget.Runs--
		p := base.clone()
		change(p)
		p.Seed += uint64(i)
		if r := Run(Options{Plan: p}); SameFailure(r, m.result) {
			m.best, m.result = p, r
			m.accepted++
			return true
		}
	}
	return false
}

// cutBehind drops what was to happen after the failure.
func (m *minimiser) cutBehind() {
	at := m.result.Elapsed - m.result.Began
	if at <= 0 || at >= m.best.Length {
		return
	}
	m.try(func(p *Plan) {
		p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return s.At > at })
		p.Acts = slices.DeleteFunc(p.Acts, func(a Act) bool { return a.At > at })
	})
	m.try(func(p *Plan) { p.Length = at.Truncate(time.Millisecond) + time.Millisecond })
}

func (m *minimiser) steps() {
	all := m.best.Steps
	ddmin(len(all), func(keep []int) bool { return m.try(func(p *Plan) { p.Steps = those(all, keep) }) })
}

func (m *minimiser) acts() {
	all := m.best.Acts
	ddmin(len(all), func(keep []int) bool { return m.try(func(p *Plan) { p.Acts = those(all, keep) }) })
}

// stretches tries clients that are busy seldom, and always.
func (m *minimiser) stretches() {
	all := m.best.Busy
	if len(all) == 0 {
		return
	}
	seeds := m.seeds
	m.seeds = moreSeeds // busy clients see a failure soon: worth more than one look
	always := m.try(func(p *Plan) { p.Busy = nil })
	if m.seeds = seeds; !always {
		ddmin(len(all), func(keep []int) bool {
			return len(keep) > 0 && m.try(func(p *Plan) { p.Busy = those(all, keep) })
		})
	}
}

// topology tries fewer nodes of each kind, the fewest first.
func (m *minimiser) topology() {
	for _, size := range []func(*Plan) *int{
		func(p *Plan) *int { return &p.Topology.Safekeepers },
		func(p *Plan) *int { return &p.Topology.Pageservers },
		func(p *Plan) *int { return &p.Topology.Computes },
	} {
		for n := 1; n < *size(m.best); n++ {
			if m.try(func(p *Plan) { *size(p) = n }) {
				break
			}
		}
	}
}

// calm is the load in which least happens.
var calm = load{
	Clients: 1, Think: 80 * time.Millisecond, Lull: 500 * time.Millisecond, ValueMax: 24, BulkMax: 500,
	Memory: 16 << 20, Distance: 1 << 20, Buffer: 1 << 20, Direct: 16 << 10,
}

// loads tries the calm load, and else each knob of it by itself.
func (m *minimiser) loads() {
	if m.best.Load == calm && m.best.Blank == 0 {
		return
	}
	if m.try(func(p *Plan) { p.Load, p.Blank = calm, 0 }) {
		return
	}
	m.try(func(p *Plan) { p.Blank = 0 })
	quiet := reflect.ValueOf(calm)
	for i := range quiet.NumField() {
		knob := func(p *Plan) reflect.Value { return reflect.ValueOf(&p.Load).Elem().Field(i) }
		if !knob(m.best).Equal(quiet.Field(i)) {
			m.try(func(p *Plan) { knob(p).Set(quiet.Field(i)) })
		}
	}
}

// times tries everything in half the time, half of the run, and the shortest of
// each fault.
func (m *minimiser) times() {
	for m.best.Length > 500*time.Millisecond && m.try((*Plan).hasten) {
	}
	for m.best.Length > 500*time.Millisecond && m.try(func(p *Plan) { p.Length = (p.Length / 2).Truncate(time.Millisecond) }) {
	}
	for i := range m.best.Steps {
		if m.best.Steps[i].For > shortest {
			m.try(func(p *Plan) { p.Steps[i].For = shortest })
		}
	}
}

// hasten lets everything begin after half the time, and last as long as it did.
func (p *Plan) hasten() {
	half := func(d *time.Duration) { *d = (*d / 2).Truncate(time.Millisecond) }
	half(&p.Length)
	for i := range p.Steps {
		half(&p.Steps[i].At)
	}
	for i := range p.Acts {
		half(&p.Acts[i].At)
	}
	for i := range p.Busy {
		half(&p.Busy[i].At)
	}
}

const shortest = 20 * time.Millisecond

// links tries a network in which nothing varies.
func (m *minimiser) links() {
	if len(m.best.Forks) > 0 {
		all := m.best.Forks
		ddmin(len(all), func(keep []int) bool { return m.try(func(p *Plan) { p.Forks = those(all, keep) }) })
	}
	if !m.best.Even {
		m.try(func(p *Plan) { p.Even = true })
	}
}

// schedule tries to have tasks run in order: always, and else except at a few
// stretches of the run.
func (m *minimiser) schedule() {
	if m.best.Yields+m.best.Wakes > 0 {
		m.try(func(p *Plan) { p.Yields, p.Wakes = 0, 0 })
	}
	if m.best.Policy.Kind == netsim.InOrder || m.try(func(p *Plan) { p.Policy = netsim.Policy{Kind: netsim.InOrder} }) {
		return
	}
	spans := m.best.Policy.Within
	if spans == nil {
		spans = []netsim.Span{{First: 1, Count: 2 * m.result.Steps}}
	}
	spans = split(spans, exceptions)
	ddmin(len(spans), func(keep []int) bool {
		return len(keep) > 0 && m.try(func(p *Plan) { p.Policy.Within = those(spans, keep) })
	})
}

// exceptions is into how many stretches a schedule is divided at once.
const exceptions = 8

// split divides the longest spans until there are n of them.
func split(spans []netsim.Span, n int) []netsim.Span {
	spans = slices.Clone(spans)
	for len(spans) < n {
		longest := 0
		for i := range spans {
			if spans[i].Count > spans[longest].Count {
				longest = i
			}
		}
		s := spans[longest]
		if s.Count < 2 {
			break
		}
		half := s.Count / 2
		spans = slices.Replace(spans, longest, longest+1, netsim.Span{First: s.First, Count: half}, netsim.Span{First: s.First + half, Count: s.Count - half})
	}
	return spans
}
