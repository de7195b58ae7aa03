package fuzz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"xenon/netsim"
)

// Until is where a run is to end before its time. The zero value is nowhere.
type Until struct {
	Step  uint64        // of the world
	At    time.Duration // since the clients began
	Event string        // kind of an event, as in proposer.elected or kill
	When  *Expr
}

// errStopped ends a run that came to its Until.
var errStopped = errors.New("stopped")

// stopper is what looks after each step whether the run is to stop, nil if it
// is not to. seen is told of the kind of every event.
func (r *run) stopper(s Until) (onStep func(), seen func(kind string)) {
	if s == (Until{}) {
		return nil, func(string) {}
	}
	happened, over := false, false
	return func() {
			if over || r.n == nil { // the clients have not begun
				return
			}
			ends := happened || s.Step > 0 && r.w.Steps() >= s.Step || s.At > 0 && r.w.Elapsed()-r.result.Began >= s.At
			if !ends && s.When != nil {
				var err error
				if ends, err = s.When.holds(r); err != nil {
					over = true
					r.w.Fail(err)
					return
				}
			}
			if ends {
				over = true
				r.w.Fail(errStopped)
			}
		}, func(kind string) {
			happened = happened || s.Event != "" && kind == s.Event
		}
}

// An observable is something that an expression can ask for.
type observable struct {
	name, form, about string
	least, most       int // arguments
	look              func(s *sight, args []string) int64
}

// A lookup is how an observable finds what it is asked for.
type lookup = func(s *sight, args []string) int64

func ofKeeper(f func(k *keeper) int64) lookup {
	return func(s *sight, args []string) int64 {
		l := s.line(args, 1)
		if l == nil {
			return 0
		}
		for _, k := range l.keepers {
			if k.name == args[0] {
				return f(k)
			}
		}
		return s.unknown("safekeeper", args[0])
	}
}

func ofReel(f func(r *reel) int64) lookup {
	return func(s *sight, args []string) int64 {
		l := s.line(args, 1)
		if l == nil {
			return 0
		}
		for _, ps := range s.r.c.pss {
			if ps.Name() == args[0] {
				return f(l.reel(ps.Proc))
			}
		}
		return s.unknown("pageserver", args[0])
	}
}

func ofNode(f func(x *node) int64) lookup {
	return func(s *sight, args []string) int64 {
		for _, x := range s.r.c.nodes() {
			if x.Name() == args[0] {
				return f(x)
			}
		}
		return s.unknown("node", args[0])
	}
}

// ofSeat is 0 for a compute that is not there: a branch to come may have it.
func ofSeat(f func(x *seat) int64) lookup {
	return func(s *sight, args []string) int64 {
		for _, x := range s.r.c.servers {
			if x.Name() == args[0] {
				return f(x)
			}
		}
		return 0
	}
}

func ofLine(f func(l *line) int64) lookup {
	return func(s *sight, args []string) int64 {
		if l := s.line(args, 0); l != nil {
			return f(l)
		}
		return 0
	}
}

func ofRun(f func(r *run) int64) lookup {
	return func(s *sight, _ []string) int64 { return f(s.r) }
}

// observables are all that there is to ask for. A branch is main if none is
// named.
var observables = []observable{
	{"step", "step()", "steps that the world has taken", 0, 0, ofRun(func(r *run) int64 { return int64(r.w.Steps()) })},
	{"time", "time()", "simulated time since the clients began", 0, 0, ofRun(func(r *run) int64 { return int64(r.w.Elapsed() - r.result.Began) })},
	{"elections", "elections()", "terms that a proposer won", 0, 0, ofRun(func(r *run) int64 { return int64(r.result.Counts.Elections) })},
	{"tails_cut", "tails_cut()", "times that a safekeeper gave up WAL that it had flushed", 0, 0, ofRun(func(r *run) int64 { return int64(r.result.Counts.TailsCut) })},
	{"generations", "generations()", "take-overs by a pageserver", 0, 0, ofRun(func(r *run) int64 { return int64(r.result.Counts.Generations) })},
	{"branches", "branches()", "branches that there are or were", 0, 0, ofRun(func(r *run) int64 { return int64(len(r.j.lines)) })},
	{"running", "running(NODE)", "whether a process runs", 1, 1, ofNode(func(x *node) int64 { return truth(x.Running()) })},
	{"incarnation", "incarnation(NODE)", "how often a process was started", 1, 1, ofNode(func(x *node) int64 { return int64(x.Incarnation()) })},
	{"term", "term(SAFEKEEPER[, BRANCH])", "the highest term that it promised anything to", 1, 2, ofKeeper(func(k *keeper) int64 { return int64(k.term) })},
	{"flush_lsn", "flush_lsn(SAFEKEEPER[, BRANCH])", "what it last reported as flushed", 1, 2, ofKeeper(func(k *keeper) int64 { return int64(k.flush) })},
	{"commit_lsn", "commit_lsn(SAFEKEEPER[, BRANCH])", "what it last reported as committed", 1, 2, ofKeeper(func(k *keeper) int64 { return int64(k.commit) })},
	{"ingested_lsn", "ingested_lsn(PAGESERVER[, BRANCH])", "end of the last record that it ingested", 1, 2, ofReel(func(r *reel) int64 { return int64(r.next) })},
	{"disk_lsn", "disk_lsn(PAGESERVER[, BRANCH])", "what it says that its disk holds", 1, 2, ofReel(func(r *reel) int64 { return int64(r.disk) })},
	{"serving", "serving(COMPUTE)", "whether a compute has a server", 1, 1, ofSeat(func(x *seat) int64 {
		return truth(x.Running() && x.endpoint != nil && x.endpoint.Status().Server != nil)
	})},
	{"proposer_term", "proposer_term(COMPUTE)", "the term of a compute", 1, 1, ofSeat(func(x *seat) int64 {
		if x.endpoint == nil {
			return 0
		}
		return int64(x.endpoint.Status().Term)
	})},
	{"end_lsn", "end_lsn([BRANCH])", "end of what is committed", 0, 1, ofLine(func(l *line) int64 { return int64(l.ghost.end()) })},
	{"acked_lsn", "acked_lsn([BRANCH])", "end of the last commit that a client heard of", 0, 1, ofLine(func(l *line) int64 { return int64(l.acked) })},
}

func observableNames() (names []string) {
	for _, o := range observables {
		names = append(names, o.name)
	}
	return names
}

// Observables says what an expression can ask for, a line each.
func Observables() string {
	var b strings.Builder
	for _, o := range observables {
		fmt.Fprintf(&b, "%-36s %s\n", o.form, o.about)
	}
	return b.String()
}

// line is the branch that an argument names, main if there is no such argument;
// nil if it is not there, as before it is made.
func (s *sight) line(args []string, at int) *line {
	name := branch
	if at < len(args) {
		name = args[at]
	}
	i := slices.IndexFunc(s.r.j.lines, func(l *line) bool { return l.name == name })
	if i < 0 {
		return nil
	}
	return s.r.j.lines[i]
}

// unknown keeps the first name that means nothing.
func (s *sight) unknown(what, name string) int64 {
	if s.err == nil {
		s.err = fmt.Errorf("no %s of this run is called %q", what, name)
	}
	return 0
}

// state is a table of what every node is at.
func (r *run) state() string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d, %.6fs after the clients began\n", r.w.Steps(), (r.w.Elapsed() - r.result.Began).Seconds())
	runs := func(x *node) string {
		if x.Running() {
			return fmt.Sprintf("incarnation %d", x.Incarnation())
		}
		return "down"
	}
	for i, sk := range r.c.sks {
		fmt.Fprintf(&b, "  %-10s %s", sk.Name(), runs(sk))
		for _, l := range r.standing() {
			k := l.pool[i]
			fmt.Fprintf(&b, "; %s: term %d, flush %s, commit %s", l.name, k.term, k.flush, k.commit)
		}
		b.WriteByte('\n')
	}
	for _, ps := range r.c.pss {
		fmt.Fprintf(&b, "  %-10s %s", ps.Name(), runs(ps))
		for _, l := range r.standing() {
			x := l.reel(ps.Proc)
			fmt.Fprintf(&b, "; %s: ingested %s, on disk %s", l.name, x.next, x.disk)
		}
		b.WriteByte('\n')
	}
	for _, s := range r.c.servers {
		fmt.Fprintf(&b, "  %-10s %s; %s", s.Name(), runs(s.node), s.line.name)
		if s.endpoint != nil {
			st := s.endpoint.Status()
			fmt.Fprintf(&b, ": term %d, %s, %s", st.Term, st.State, st.Note)
		}
		b.WriteByte('\n')
	}
	for _, l := range r.standing() {
		fmt.Fprintf(&b, "  %-10s committed up to %s, acknowledged up to %s\n", l.name, l.ghost.end(), l.acked)
	}
	return b.String()
}

// stopped tells whether the world ended because the run came to its Until.
func stopped(err error) bool {
	var f *netsim.Failure
	return errors.As(err, &f) && errors.Is(err, errStopped)
}
