// Package simcmd is what `xenon sim` does: it runs seeds on all processors,
// adds up what happened, and says of each failure how to see it again.
//
// Start at [Run].
package simcmd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"xenon/core/faults"
	"xenon/fuzz"
	"xenon/netsim"
)

// Options say what to run.
type Options struct {
	From, To uint64 // seeds, both included
	// Within bounds the wall time; seeds that were begun are finished. With it
	// To may be 0: there is no last seed then.
	Within  time.Duration
	Classes []fuzz.Class // nil is all
	Judge   fuzz.Judge   // whose word counts in plans that are drawn
	// Plan is what to run instead of seeds; File is where it is from.
	Plan *fuzz.Plan
	File string
	// Minimise is how long the plan of a failure may be made smaller; 0 leaves it.
	Minimise time.Duration
	// Explore asks for plans that come of others, besides those of fresh seeds
	// from From on, until Within is over. Corpus is a directory of plans that
	// are run first, and where those go that fail; "" is none. Share is which
	// part of it this process does.
	Explore bool
	Corpus  string
	Share   Share
	Until   fuzz.Until // where runs end early
	// Fork gives a run another tail: streams have another seed from a step on.
	// Step 0 is none.
	Fork    netsim.Fork
	Mutant  string // name of a fault to plant; the first failure ends the run
	Workers int    // 0 is one for each processor
	// Done is told of each seed by one goroutine at a time: of seeds in their
	// order, of plans that come of others in any.
	Done func(r *fuzz.Result)
}

// ErrNoMutants says that a binary holds no planted faults.
type ErrNoMutants struct{ Mutant string }

func (e ErrNoMutants) Error() string {
	return fmt.Sprintf("this binary holds no planted faults; run\n  go run -tags faults ./cmd/xenon sim --mutant %s", e.Mutant)
}

// Run runs the seeds.
func Run(o Options) (*Summary, error) {
	if o.Mutant != "" {
		undo, err := plant(o.Mutant)
		if err != nil {
			return nil, err
		}
		defer undo()
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Plan != nil {
		o.From, o.To = o.Plan.Seed, o.Plan.Seed
	}
	defer CollectSeldom()()
	s := newSummary(o)
	began, cpu := time.Now(), CPUTime()
	if o.Explore {
		err := explore(o, s)
		s.finish(CPUTime() - cpu)
		return s, err
	}
	var mu sync.Mutex // over next, over, and turns
	next, over := o.From, false
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if over || o.To != 0 && next > o.To || o.Within > 0 && time.Since(began) > o.Within {
			return 0, false
		}
		next++
		return next - 1, true
	}
	turns := turns{o: &o, s: s, next: o.From, done: map[uint64]*fuzz.Result{}}
	var wg sync.WaitGroup
	for range o.Workers {
		wg.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				r := o.run(seed)
				mu.Lock()
				over = over || r.Err != nil && o.Mutant != ""
				turns.take(seed, r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.finish(CPUTime() - cpu)
	return s, nil
}

// turns tells of seeds in order, whichever is done first: what is printed, and
// which seed finds a mutant, does not depend on how many run at once.
type turns struct {
	o    *Options
	s    *Summary
	next uint64
	done map[uint64]*fuzz.Result
	over bool // the mutant was found
}

func (t *turns) take(seed uint64, r *fuzz.Result) {
	for t.done[seed] = r; t.done[t.next] != nil && !t.over; t.next++ {
		r := t.done[t.next]
		delete(t.done, t.next)
		t.s.add(r)
		if t.o.Done != nil {
			t.o.Done(r)
		}
		t.over = r.Err != nil && t.o.Mutant != ""
	}
}

// CollectSeldom lets the heap grow to five times what is in use before garbage is
// collected: worlds are small, and short-lived. What GOGC says goes before.
func CollectSeldom() (undo func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	was := debug.SetGCPercent(garbage)
	return func() { debug.SetGCPercent(was) }
}

// garbage is in percent of the heap in use.
const garbage = 400

// run runs one seed, or the plan.
func (o *Options) run(seed uint64) *fuzz.Result {
	p := o.Plan
	if o.Fork.Step > 0 {
		if p == nil {
			p = fuzz.Draw(seed, o.Classes)
			p.Judge = o.Judge
		}
		forked := *p
		forked.Forks = append(slices.Clone(p.Forks), o.Fork)
		p = &forked
	}
	if Second() {
		runtime.GC() // another moment for it than the first process has
	}
	r := fuzz.Run(fuzz.Options{Seed: seed, Plan: p, Classes: o.Classes, Judge: o.Judge, Until: o.Until})
	if r.Err != nil {
		return o.minimised(r)
	}
	return r
}

// plant makes the code wrong for this process.
func plant(name string) (undo func(), err error) {
	if !faults.On {
		return nil, ErrNoMutants{name}
	}
	p, ok := faults.ByName(name)
	if !ok {
		return nil, fmt.Errorf("no planted fault is called %q; core/faults/point.go has the names", name)
	}
	return faults.Plant(p), nil
}

// FreshSeed is where a run begins that was given no seeds.
func FreshSeed() uint64 { return 1 + rand.Uint64N(1<<40) }

// CPUTime is what this process has used of processors so far, in its own code and
// in the system's.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Replay is the command that runs a seed again.
func Replay(o Options, seed uint64) string {
	cmd := "xenon sim"
	if o.Mutant != "" {
		cmd = "go run -tags faults ./cmd/xenon sim --mutant " + o.Mutant
	}
	if o.Fork.Step > 0 {
		cmd += fmt.Sprintf(" --fork %d --seed-from %d", o.Fork.Step, o.Fork.Seed)
	}
	if o.Plan != nil {
		return cmd + " --plan " + o.File
	}
	cmd += fmt.Sprintf(" --seed %d", seed)
	if o.Classes != nil {
		cmd += " --faults " + classList(o.Classes)
	}
	if o.Judge != fuzz.Everybody {
		cmd += " --judge " + string(o.Judge)
	}
	return cmd
}

func classList(list []fuzz.Class) string {
	if len(list) == 0 {
		return "none"
	}
	var names []string
	for _, c := range list {
		names = append(names, c.String())
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
