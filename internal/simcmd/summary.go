package simcmd

import (
	"fmt"
	"math"
	"strings"
	"time"

	"xenon/fuzz"
)

// A Summary is what came of all runs; it is the object that --json prints.
type Summary struct {
	Seeds      int     `json:"seeds"`
	Failures   int     `json:"failures"`
	SimSeconds float64 `json:"sim_seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Steps      uint64  `json:"steps"`

	// ClassesEffective is how many classes of faults changed the course of one
	// run in 100 or more.
	ClassesEffective int                    `json:"fault_classes_effective"`
	Gates            map[string]Gate        `json:"gates"`
	Classes          map[string]ClassCounts `json:"fault_classes"`
	Elections        int                    `json:"elections"`
	Writes           int                    `json:"writes"`
	Reads            int                    `json:"reads"`
	Records          int                    `json:"records"`
	Pages            int                    `json:"pages_compared"`
	CrossChecked     int                    `json:"pages_cross_checked"`
	Branches         int                    `json:"branch_creations"`
	Dropped          int                    `json:"branch_deletions"`
	Restores         int                    `json:"restarts_from_bucket"`
	Generations      int                    `json:"generation_changes"`
	Flushes          int                    `json:"flushes"`
	Uploads          int                    `json:"uploads"`
	Downloads        int                    `json:"downloads"`
	Deletions        int                    `json:"deletions"`
	IndexUnknown     int                    `json:"index_writes_unknown"`
	WAL              fuzz.WALCounts         `json:"wal"`

	// Signals is how many different things exploring runs reached, Novel how
	// many runs reached something that none before them had.
	Signals int `json:"signals,omitempty"`
	Novel   int `json:"novel_runs,omitempty"`

	Mutant string   `json:"mutant,omitempty"`
	Failed []Failed `json:"failed,omitempty"`
	// Hashes says how runs compared with those of another process.
	Hashes *Comparison `json:"determinism,omitempty"`

	o         Options
	simulated time.Duration
}

// A Gate is something without which runs prove little.
type Gate struct {
	Runs  int     `json:"runs"`  // in which it happened
	Ratio float64 `json:"ratio"` // of all runs
	Least float64 `json:"least"` // that Ratio should be
}

// ClassCounts is how often a class of faults struck, in how many runs, and how
// often that changed their course.
type ClassCounts struct {
	Injected      int `json:"injected"`
	Effective     int `json:"effective"`
	RunsEffective int `json:"runs_effective"`
}

// Failed is a run that failed.
type Failed struct {
	Seed   uint64 `json:"seed"`
	Oracle string `json:"oracle"`
	Error  string `json:"error"`
	Replay string `json:"replay"`
	Plan   string `json:"plan,omitempty"` // file that it is kept in
}

// The names of the gates.
const (
	underLoad = "election_under_load"
	tailCut   = "divergent_tail_truncated"
	lostWrite = "unsynced_write_lost"
	branched  = "branch_created"
	restored  = "restart_from_bucket"
	newOwner  = "generation_changed"
	unknown   = "index_write_unknown"
	walStored = "wal_segment_stored"
	walGone   = "wal_removed"
	walAway   = "idle_timeline_evicted"
	tie       = "several_donors_to_choose_from"
	shorter   = "longer_log_than_the_donor"
	torn      = "ended_while_cutting_a_tail"
	fenced    = "superseded_endpoint_ended"
	lateIndex = "index_write_by_a_passed_owner"
	joint     = "commit_in_joint_configuration"
	mended    = "damaged_wal_mended"
	wounded   = "end_of_a_log_lost"
	healed    = "end_of_a_log_brought_back"
	zombies   = "read_of_a_superseded_server"

	gateLeast = 0.30
	// gateSeldom is for what needs a rare meeting of things.
	gateSeldom = 0.05
	gateHalf   = gateLeast / 2
	// gateRare is for a moment of some microseconds.
	gateRare = 0.001
	// gateSeeds is how many runs a ratio needs to mean something, gateExpected how
	// many of them must be wanted.
	gateSeeds, gateExpected = 100, 5
)

// gates lists them in the order in which they are told.
var gates = []string{underLoad, tailCut, lostWrite, branched, restored, newOwner, unknown, walStored, walGone, walAway,
	tie, shorter, torn, fenced, lateIndex, joint, mended, wounded, healed, zombies}

func newSummary(o Options) *Summary {
	s := &Summary{o: o, Mutant: o.Mutant, Gates: map[string]Gate{}, Classes: map[string]ClassCounts{}}
	for _, g := range gates {
		s.Gates[g] = Gate{Least: gateLeast}
	}
	for _, g := range []string{walAway, shorter, tie, fenced, lateIndex, joint} {
		s.Gates[g] = Gate{Least: gateSeldom}
	}
	for _, g := range []string{torn, mended, wounded, healed, zombies} {
		s.Gates[g] = Gate{Least: gateRare}
	}
	s.Gates[tailCut] = Gate{Least: gateHalf} // safekeepers that hear each other leave few tails
	return s
}

func (s *Summary) add(r *fuzz.Result) {
	s.Seeds++
	s.simulated += r.Elapsed
	s.Steps += r.Steps
	c := &r.Counts
	s.Elections, s.Writes, s.Reads = s.Elections+c.Elections, s.Writes+c.Writes, s.Reads+c.Reads
	s.Records, s.Pages, s.CrossChecked = s.Records+c.Records, s.Pages+c.PagesCompared, s.CrossChecked+c.CrossChecked
	s.pass(underLoad, c.ElectionsUnderLoad)
	s.pass(tailCut, c.TailsCut)
	s.pass(lostWrite, c.LostWrites)
	s.pass(branched, c.Branches)
	s.pass(restored, c.Restores)
	s.pass(newOwner, c.Generations)
	s.pass(unknown, c.IndexUnknown)
	s.pass(walStored, c.SegmentsStored)
	s.pass(walGone, c.SegmentsRemoved)
	s.pass(walAway, c.Evicted)
	s.pass(tie, c.Ties)
	s.pass(shorter, c.ShorterDonors)
	s.pass(torn, c.TornAdoptions)
	s.pass(fenced, c.Fenced)
	s.pass(lateIndex, c.LateWrites)
	s.pass(joint, c.JointCommits)
	s.pass(mended, c.Mended)
	s.pass(wounded, c.Wounds)
	s.pass(healed, c.Healed)
	s.pass(zombies, c.ZombieReads)
	s.WAL.Add(&c.WALCounts)
	s.Branches, s.Dropped, s.Restores = s.Branches+c.Branches, s.Dropped+c.Dropped, s.Restores+c.Restores
	s.Generations, s.Flushes, s.IndexUnknown = s.Generations+c.Generations, s.Flushes+c.Flushes, s.IndexUnknown+c.IndexUnknown
	s.Uploads, s.Downloads, s.Deletions = s.Uploads+c.Uploads, s.Downloads+c.Downloads, s.Deletions+c.Deletions
	for _, class := range fuzz.Classes() {
		n := s.Classes[class.String()]
		n.Injected += c.Injected[class]
		n.Effective += c.Effective[class]
		if c.Effective[class] > 0 {
			n.RunsEffective++
		}
		s.Classes[class.String()] = n
	}
	if r.Err != nil {
		s.Failures++
		text, _, _ := strings.Cut(r.Err.Error(), "\n")
		s.Failed = append(s.Failed, Failed{Seed: r.Seed, Oracle: r.Oracle(), Error: text, Replay: Replay(s.o, r.Seed)})
	}
}

func (s *Summary) pass(gate string, times int) {
	if times > 0 {
		g := s.Gates[gate]
		g.Runs++
		s.Gates[gate] = g
	}
}

func (s *Summary) finish(cpu time.Duration) {
	round := func(x float64) float64 { return math.Round(x*1000) / 1000 }
	s.SimSeconds, s.CPUSeconds = round(s.simulated.Seconds()), round(cpu.Seconds())
	for name, g := range s.Gates {
		g.Ratio = round(float64(g.Runs) / float64(max(1, s.Seeds)))
		s.Gates[name] = g
	}
	for _, n := range s.Classes {
		if n.RunsEffective > 0 && n.RunsEffective*100 >= s.Seeds {
			s.ClassesEffective++
		}
	}
}

// Err is what is wrong with the runs, nil if they are clean and prove
// something.
func (s *Summary) Err() error {
	if s.Failures > 0 {
		return fmt.Errorf("%d of %d seeds failed", s.Failures, s.Seeds)
	}
	if h := s.Hashes; h != nil && h.Different > 0 {
		return fmt.Errorf("%d of %d seeds went differently in a second process: %s", h.Different, h.Compared, h.First)
	}
	if s.Seeds < gateSeeds || s.o.Plan != nil || s.o.Classes != nil || s.o.Mutant != "" {
		return nil
	}
	for _, name := range gates {
		if g := s.Gates[name]; g.Ratio < g.Least && float64(s.Seeds)*g.Least >= gateExpected {
			return fmt.Errorf("%s happened in %d of %d runs, want %.1f %%: the runs prove too little", name, g.Runs, s.Seeds, 100*g.Least)
		}
	}
	return nil
}

// Text is the summary for people.
func (s *Summary) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seeds %d, failures %d\n%.0f simulated seconds in %.1f CPU seconds, %d steps\n",
		s.Seeds, s.Failures, s.SimSeconds, s.CPUSeconds, s.Steps)
	fmt.Fprintf(&b, "elections %d, writes %d, reads %d, records %d, pages compared %d, written ones %d\n", s.Elections, s.Writes, s.Reads, s.Records, s.Pages, s.CrossChecked)
	fmt.Fprintf(&b, "branches created %d, deleted %d; restarts from the bucket %d; generation changes %d; index writes of unknown outcome %d\n",
		s.Branches, s.Dropped, s.Restores, s.Generations, s.IndexUnknown)
	fmt.Fprintf(&b, "layers: flushes %d, uploads %d, downloads %d, deletions %d\n", s.Flushes, s.Uploads, s.Downloads, s.Deletions)
	w := s.WAL
	fmt.Fprintf(&b, "WAL: segments stored %d, partial ones %d, reads of them %d; removals %d; timelines evicted %d, back %d\n",
		w.SegmentsStored, w.PartialsStored, w.StoredReads, w.SegmentsRemoved, w.Evicted, w.Returned)
	for _, name := range gates {
		g := s.Gates[name]
		fmt.Fprintf(&b, "%-26s in %d runs (%.0f %%)\n", name, g.Runs, 100*g.Ratio)
	}
	if s.Signals > 0 {
		fmt.Fprintf(&b, "exploring: %d different things were reached, %d runs reached something new\n", s.Signals, s.Novel)
	}
	fmt.Fprintf(&b, "faults, %d classes effective: injected, of these effective, runs with an effect\n%s", s.ClassesEffective, s.classTable())
	for i, f := range s.Failed {
		if i == failuresTold {
			fmt.Fprintf(&b, "and %d more failures\n", len(s.Failed)-i)
			break
		}
		fmt.Fprintf(&b, "FAILED by %s\n  again: %s\n", f.Oracle, f.Replay)
	}
	if h := s.Hashes; h != nil {
		fmt.Fprintf(&b, "determinism: %d seeds compared with a second process, %d different\n", h.Compared, h.Different)
	}
	return b.String()
}

// failuresTold is how many failures the text names.
const failuresTold = 5

// classTable is the counts of all classes in columns, so that a screen has room
// for them.
func (s *Summary) classTable() string {
	const columns = 3
	var b strings.Builder
	classes := fuzz.Classes()
	rows := (len(classes) + columns - 1) / columns
	for i := range rows {
		for k := i; k < len(classes); k += rows {
			n := s.Classes[classes[k].String()]
			fmt.Fprintf(&b, "  %-22s %5d %5d %4d", classes[k], n.Injected, n.Effective, n.RunsEffective)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// traceTail is how many of the last events a failure shows.
const traceTail = 40

// Story is a failed run: how to see it again, what was broken, what befell it,
// and its last events.
func Story(o Options, r *fuzz.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d FAILED: %s\n  again: %s\n%v\nplan:\n", r.Seed, r.Oracle(), Replay(o, r.Seed), r.Err)
	r.Plan.WriteTo(&b)
	fmt.Fprintf(&b, "last events:\n")
	for _, e := range r.Recent[max(0, len(r.Recent)-traceTail):] {
		fmt.Fprintf(&b, "  %12.6fs %-20s %x %x %x %x\n", time.Duration(e.At).Seconds(), e.Kind, e.A, e.B, e.C, e.D)
	}
	return b.String()
}
