package fuzz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"xenon/compute/crosscheck"
	"xenon/core"
	"xenon/core/env"
	"xenon/fuzz/standin"
	"xenon/netsim"
)

// Options say what to run.
type Options struct {
	Seed uint64
	// Plan is what to run, instead of one drawn from Seed.
	Plan *Plan
	// Classes are the faults that plans are drawn from; nil is all of them.
	Classes []Class
	// Until ends the run early, to look at it.
	Until Until
	// Signals gathers what the run reached, see [Result.Signals].
	Signals bool
	// Judge is that of the plan drawn; see [Plan].
	Judge Judge
	// Observe is told of everything that goes into the hash.
	Observe func(netsim.Event)
	// Record is told of everything that there is to show of the run, see
	// [netsim.Options]. It makes the run slower and changes nothing in it.
	Record func(netsim.Detail)
}

// Counts is what happened in a run, or in many.
type Counts struct {
	Injected, Effective [classes]int

	Elections          int
	ElectionsUnderLoad int // while writes were under way
	TailsCut           int // a safekeeper gave up WAL that it had flushed
	TornAdoptions      int // a safekeeper ended between that and its next word
	Ties               int // elections with two logs that could be the donor
	ShorterDonors      int // elections after which a longer log was cut off
	Fenced             int // endpoints that ended since another one had taken over
	LateWrites         int // of an index, by an owner that had been passed
	Copies             int // a safekeeper copied WAL from another one
	// Mended are segments made anew of what others had, Wounds ends of logs that
	// were lost, and Healed those that came back.
	Mended, Wounds, Healed int
	Learned                int // a safekeeper learned from another one what is committed
	Syncs                  int // logs made level without a server
	ZombieReads            int // answered under a lease by a server whose successor was elected
	LostWrites             int // taken by power cuts before any sync

	Changes      int // of members, begun
	JointCommits int // in a joint configuration
	Pulls        int // copies of timelines made by safekeepers
	LateCopies   int // by safekeepers that were no members by then
	Replaced     int // safekeepers that lost their disk, everywhere

	Judged int // milliseconds before healing in which clients had to be served
	Kept   int // milliseconds that some client had to wait then or later, at most

	Writes, Reads int // acknowledged
	Transactions  int // over several lists
	Records       int // committed
	Played        int // of them recorded ones, that PostgreSQL wrote first
	PagesCompared int
	CrossChecked  int // pages that servers wrote, compared by their endpoints

	// What became of timelines at the object store.
	Branches     int // created
	Dropped      int // deleted
	Restores     int // timelines opened from the store alone, with layers of their own
	Losses       int // times that a pageserver gave up layers that its disk had
	Generations  int // take-overs by another pageserver
	Flushes      int // of a timeline to a pageserver's disk
	Uploads      int // of layers
	Downloads    int // reads of layers
	Deletions    int // of layers
	IndexUnknown int // writes of an index whose writer got no answer

	WALCounts // of WAL in the object store
}

// A Result is what came of a run.
type Result struct {
	Seed    uint64
	Plan    *Plan
	Err     error // why it failed
	Hash    uint64
	Windows []uint64
	Steps   uint64
	Elapsed time.Duration // simulated
	Counts  Counts
	Recent  []netsim.Event // the last events of a run that failed or stopped
	// Stopped is what every node was at when the run came to its Until; "" if
	// it did not.
	Stopped string
	// Signals are the hashes of what the run reached that other runs may not
	// have, in order.
	Signals []uint64

	// Began is when the clients did: the times of the plan count from here.
	Began time.Duration
	// Witnesses and Timelines are those of a run that was recorded.
	Witnesses []Witness
	Timelines []Timeline
}

// Oracle names what a failed run failed by.
func (r *Result) Oracle() string {
	var v *Violation
	var f *netsim.Failure
	switch {
	case errors.As(r.Err, &v):
		return string(v.Oracle)
	case errors.As(r.Err, &f):
		return f.Kind
	case r.Err != nil:
		return "set-up"
	}
	return ""
}

// A run is one world with everything in it.
type run struct {
	w      *netsim.World
	c      *cluster
	j      *judge
	n      *nemesis
	b      []*brancher
	result *Result
	stage  string // what the verdict waits for
	// signals is nil if nobody wants them.
	signals *signals
}

// Run makes a world from a seed, lets it live, and judges it.
func Run(o Options) *Result {
	p := o.plan()
	r := &run{result: &Result{Seed: p.Seed, Plan: p}}
	onStep, seen := r.stopper(o.Until)
	if o.Signals {
		r.signals = newSignals(r)
		until := onStep
		onStep = func() {
			if r.signals.look(); until != nil {
				until()
			}
		}
	}
	r.w = netsim.New(netsim.Options{
		OnStep: onStep, Seed: p.Seed, Forks: p.Forks, Policy: p.Policy, Even: p.Even, Yields: p.Yields, Wakes: p.Wakes, Observe: o.Observe, Record: o.Record,
		OnNote: func(p *netsim.Proc, e env.Event) {
			r.signals.noted(e)
			seen(e.Kind)
			if r.j != nil {
				r.j.note(p, e)
			}
			if r.n != nil {
				r.n.noted(p, e)
			}
		},
	})
	err := r.all(p)
	r.countChecked()
	if err != nil {
		r.result.Recent = r.w.Recent()
	}
	r.testify()
	if stopped(err) {
		r.result.Stopped = r.state()
	}
	if cerr := r.w.Close(); err == nil {
		err = cerr
	}
	if r.result.Err = err; stopped(err) {
		r.result.Err = nil
	}
	r.result.Signals = r.signals.all()
	r.result.Hash, r.result.Windows, r.result.Steps, r.result.Elapsed = r.w.Hash(), r.w.Windows(), r.w.Steps(), r.w.Elapsed()
	return r.result
}

// countChecked adds up what all endpoints have compared.
func (r *run) countChecked() {
	if r.c == nil {
		return
	}
	for _, ep := range r.c.endpoints {
		r.result.Counts.CrossChecked += int(ep.CrossCheck().Checked)
	}
	r.result.Counts.Fenced = r.c.fenced
}

// plan is the one to run.
func (o *Options) plan() *Plan {
	if o.Plan != nil {
		return o.Plan
	}
	from := o.Classes
	if from == nil {
		from = Classes()
	}
	p := drawPlan(o.Seed, from)
	p.Judge = o.Judge
	return p
}

func (r *run) all(p *Plan) error {
	b, err := blanks[p.Blank]()
	if err != nil {
		return err
	}
	r.c = newCluster(r.w, b, p)
	r.j = newJudge(r.c, &r.result.Counts)
	r.j.outside = p.Judge == Clients
	r.c.mismatched = func(s *seat, m *crosscheck.Mismatch) {
		r.j.violated(WrittenPages, "block %d of %s as of %s, written on %s: %s", m.Block, m.Rel, m.LSN, s.line.name, m.Diff)
	}
	r.c.options, r.c.lines = r.standin, func() []*line { return r.j.lines }
	main := r.j.watch(branch, ttid, newGhost(b.im.Index.LSN, b.im.Index.PrevLSN, b.reference()))
	for range p.Topology.Computes {
		r.c.seat(main)
	}
	r.n = newNemesis(r.c, r.j, &r.result.Counts)
	if err := r.c.setUp(); err != nil {
		return fmt.Errorf("set-up: %w", err)
	}
	if p.Load.Skew != 0 {
		r.c.servers[0].SetDrift(-p.Load.Skew)
	}
	r.c.servers[0].start()
	var asking []*netsim.Proc
	for i := range max(1, p.Load.Readers) {
		asking = append(asking, r.w.Proc("reader"+strings.Repeat("'", i), netsim.ProcOptions{}))
		asking[i].Start(reader{r.j}.run)
	}
	for i := range branchers {
		b := &brancher{r: r}
		for _, a := range p.Acts {
			if a.Which%branchers == i { // not by its place: the others stay with theirs if one goes
				b.acts = append(b.acts, a)
			}
		}
		r.b = append(r.b, b)
		name := fmt.Sprintf("brancher%d", i+1)
		r.w.Proc(name, netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return r.c.bucket.Objects(e, name) }}).Start(b.run)
	}
	r.begun()
	r.n.arm(p)
	r.n.available.watch()
	if err := r.w.Run(p.Length, nil); err != nil {
		return err
	}
	r.n.heal()
	for _, a := range asking {
		a.Kill()
	}
	return r.judgement()
}

// standin is what the servers of a seat do.
func (r *run) standin(at *seat) standin.Options {
	var played func(core.LSN) []int
	if r.c.load.Recorded {
		played = at.line.ghost.played
	}
	return standin.Options{
		Evictions: r.c.load.Evictions, Squeeze: func() bool { return r.c.rush.squeeze }, Loaded: at.line.loaded, Played: played,
		Wrong: func(err error) { r.j.violated(TreesKeep, "%w", err) },
		Gate:  r.c.load.Gate,
		Serve: func(ctx context.Context, e env.Env, s *standin.Server) error {
			defer at.line.clients.opens(s, at)()
			return at.line.clients.serve(ctx, e, s, at.endpoint.Status().Term)
		},
	}
}
