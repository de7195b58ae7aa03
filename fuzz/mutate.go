package fuzz

import (
	"math/rand/v2"
	"slices"

	"xenon/netsim"
)

// mutations are what may become of a plan. Each changes little, so that most of
// what the plan reached is reached again.
var mutations = []func(p, other *Plan, from []Class, r *rand.Rand){
	changeStep, changeStep, insertStep, insertStep, removeStep, moveStep, changeAct, moveAct, moveStretch, splice, reseed, reseed, another, unlike,
}

// mutate makes a plan of one or two others, by one to four changes. New steps
// are of the classes given.
func mutate(p, other *Plan, from []Class, r *rand.Rand) *Plan {
	q := p.clone()
	for range 1 + r.IntN(4) {
		mutations[r.IntN(len(mutations))](q, other, from, r)
	}
	q.sort()
	return q
}

func changeStep(p, _ *Plan, from []Class, r *rand.Rand) {
	if len(p.Steps) == 0 {
		return
	}
	s := &p.Steps[r.IntN(len(p.Steps))]
	switch r.IntN(3) {
	case 0:
		s.Which = r.IntN(1 << 16)
	case 1:
		s.For = lasting(r, s.Class)
	case 2:
		if len(from) > 0 {
			s.Class = from[r.IntN(len(from))]
		}
	}
}

func insertStep(p, _ *Plan, from []Class, r *rand.Rand) {
	if len(from) > 0 {
		c := from[r.IntN(len(from))]
		p.Steps = append(p.Steps, Step{At: millis(r, p.Length), Class: c, Which: r.IntN(1 << 16), For: lasting(r, c)})
	}
}

func removeStep(p, _ *Plan, _ []Class, r *rand.Rand) {
	if n := len(p.Steps); n > 0 {
		i := r.IntN(n)
		p.Steps = slices.Delete(p.Steps, i, i+1)
	}
}

func moveStep(p, _ *Plan, _ []Class, r *rand.Rand) {
	if n := len(p.Steps); n > 0 {
		p.Steps[r.IntN(n)].At = millis(r, p.Length)
	}
}

func changeAct(p, _ *Plan, _ []Class, r *rand.Rand) {
	if n := len(p.Acts); n > 0 {
		p.Acts[r.IntN(n)].Which = r.IntN(1 << 16)
	}
}

func moveAct(p, _ *Plan, _ []Class, r *rand.Rand) {
	if n := len(p.Acts); n > 0 {
		p.Acts[r.IntN(n)].At = millis(r, p.Length)
	}
}

// moveStretch has clients be busy at another time, or for longer.
func moveStretch(p, _ *Plan, _ []Class, r *rand.Rand) {
	if n := len(p.Busy); n > 0 {
		s := &p.Busy[r.IntN(n)]
		if r.IntN(2) == 0 {
			s.At = millis(r, p.Length)
		} else {
			s.For = millis(r, busyLeast)
		}
	}
}

// splice goes on with what another plan does from a moment on.
func splice(p, other *Plan, _ []Class, r *rand.Rand) {
	at := millis(r, min(p.Length, other.Length))
	p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return s.At >= at })
	p.Acts = slices.DeleteFunc(p.Acts, func(a Act) bool { return a.At >= at })
	for _, s := range other.Steps {
		if s.At >= at {
			p.Steps = append(p.Steps, s)
		}
	}
	forks := len(slices.DeleteFunc(slices.Clone(p.Acts), func(a Act) bool { return a.Deed != Fork }))
	for _, a := range other.Acts {
		if a.At >= at && (a.Deed != Fork || forks < maxForks) {
			p.Acts = append(p.Acts, a)
			forks += int(truth(a.Deed == Fork))
		}
	}
	if len(p.Busy) > 0 { // else clients are busy throughout
		p.Busy = slices.DeleteFunc(p.Busy, func(s Stretch) bool { return s.At >= at })
		for _, s := range other.Busy {
			if s.At >= at && len(p.Busy) < maxStretches {
				p.Busy = append(p.Busy, s)
			}
		}
	}
	p.Length = max(p.Length, other.Length)
}

// reseed gives one kind of streams, or all, other numbers from a step on.
func reseed(p, _ *Plan, _ []Class, r *rand.Rand) {
	streams := append([]string{""}, netsim.StreamNames[:]...)
	p.Forks = append(p.Forks, netsim.Fork{Step: r.Uint64N(1 << (8 + r.IntN(8))), Stream: streams[r.IntN(len(streams))], Seed: r.Uint64() >> 32})
}

// another draws one thing about the run anew, as if for another seed.
func another(p, _ *Plan, from []Class, r *rand.Rand) {
	fresh := drawPlan(r.Uint64(), nil)
	switch r.IntN(4) {
	case 0:
		p.Topology = fresh.Topology
	case 1:
		p.Load = fresh.Load
	case 2:
		p.Policy, p.Yields, p.Wakes = fresh.Policy, fresh.Yields, fresh.Wakes
	case 3:
		p.Blank = fresh.Blank
	}
}

// unlike draws everything but faults and acts from another seed.
func unlike(p, _ *Plan, _ []Class, r *rand.Rand) { p.Seed = r.Uint64() >> 16 }
