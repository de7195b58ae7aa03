package fuzz

import "slices"

// Minimise makes a plan that fails smaller as long as it fails by the same
// oracle, with budget runs at most: first without whole runs of its steps and
// acts, then without single ones. It returns the smallest and what came of it,
// nil if p does not fail.
func Minimise(p *Plan, budget int) (*Plan, *Result) {
	r := Run(Options{Plan: p})
	if r.Err == nil {
		return p, nil
	}
	m := &minimiser{best: p, result: r, budget: budget}
	for before := -1; before != m.size() && m.budget > 0; {
		before = m.size()
		shrink(m, len(m.best.Steps), func(p *Plan, i, n int) { p.Steps = slices.Delete(slices.Clone(p.Steps), i, i+n) })
		shrink(m, len(m.best.Acts), func(p *Plan, i, n int) { p.Acts = slices.Delete(slices.Clone(p.Acts), i, i+n) })
		m.calm()
	}
	return m.best, m.result
}

type minimiser struct {
	best   *Plan
	result *Result
	budget int
}

func (m *minimiser) size() int { return len(m.best.Steps) + len(m.best.Acts) }

// try keeps a change if the plan still fails by the same oracle.
func (m *minimiser) try(change func(p *Plan)) bool {
	if m.budget == 0 {
		return false
	}
	m.budget--
	p := *m.best
	change(&p)
	r := Run(Options{Plan: &p})
	if r.Oracle() != m.result.Oracle() {
		return false
	}
	m.best, m.result = &p, r
	return true
}

// shrink takes runs of n things out, the longest first.
func shrink(m *minimiser, n int, cut func(p *Plan, i, n int)) {
	for size := max(1, n/2); size > 0 && n > 0; size /= 2 {
		for i := 0; i+size <= n; {
			if m.try(func(p *Plan) { cut(p, i, size) }) {
				n -= size
			} else {
				i += size
			}
		}
	}
}

// calm takes away what makes schedules odd.
func (m *minimiser) calm() {
	if m.best.Yields+m.best.Wakes > 0 {
		m.try(func(p *Plan) { p.Yields, p.Wakes = 0, 0 })
	}
}
