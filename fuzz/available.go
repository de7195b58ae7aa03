package fuzz

import (
	"time"

	"xenon/fuzz/standin"
	"xenon/netsim"
)

// availableWithin is how long clients may be kept waiting, for an answer or for
// a server, while nothing that excuses it is under way: a majority of the
// safekeepers, a compute and a pageserver are up and reach each other and the
// object store. The longest things in it follow on each other: a connection
// whose other end vanished is given up (consensus.Silence), a proposer whose
// donor is gone campaigns anew (twice that), a lease runs out, a server starts
// and reads its first pages. Runs show less than five seconds.
const availableWithin = 20 * time.Second

// lookEvery is how often somebody looks.
const lookEvery = 500 * time.Millisecond

// An availability judges that an installation answers while it must (O16): one
// that is safe because it never answers has broken no other promise.
type availability struct {
	c      *cluster
	j      *judge
	w      *netsim.World
	counts *Counts

	excuses int           // faults under way that may keep everybody waiting
	alone   int           // faults under way that befall one safekeeper
	since   time.Duration // when there was the last excuse
	healed  bool          // no fault is under way any more
}

// befallsOne are the classes that befall one safekeeper at a time. They are no
// excuse where the others are a majority.
var befallsOne = [classes]bool{
	KillKeeper: true, CutKeeper: true, PauseKeeper: true, FailSync: true, IOErrors: true, DiskFull: true,
	SyncOnce: true, RotWAL: true, BadSectorWAL: true, RotControl: true,
}

// harmless are those that nobody has to wait for.
var harmless = [classes]bool{ClockStep: true, Clock1970: true, ClockFrozen: true, ClockDrift: true, HotKey: true}

// begins notes a fault, and returns what notes its end.
func (a *availability) begins(s Step) (ends func()) {
	n := &a.excuses
	switch {
	case harmless[s.Class]:
		return func() {}
	case befallsOne[s.Class]:
		n = &a.alone
	}
	*n++
	return func() {
		a.excused() // up to now, if it was
		*n--
	}
}

// excused tells whether clients may be kept waiting now.
func (a *availability) excused() bool {
	if !a.healed && (a.excuses > 0 || a.alone+a.sick() > a.spared()) {
		a.since = a.w.Elapsed()
		return true
	}
	return false
}

// spared is how many safekeepers nobody needs. Of members that change it is not
// known who is one.
func (a *availability) spared() int {
	if len(a.c.reserve) > 0 {
		return 0
	}
	return (len(a.c.sks) - 1) / 2
}

// sick counts the safekeepers whose disk has failed: a timeline there may be out
// of service until they are started anew.
func (a *availability) sick() (n int) {
	for _, sk := range a.c.sks {
		if sk.failed > 0 {
			n++
		}
	}
	return n
}

// heals notes that all is mended.
func (a *availability) heals() {
	a.healed, a.since = true, a.w.Elapsed()
}

// watch looks again and again.
func (a *availability) watch() {
	if !a.excused() {
		a.look()
	}
	a.w.After(lookEvery, a.watch)
}

// look asks for how long the clients of each branch have been waiting.
func (a *availability) look() {
	now := a.w.Elapsed()
	for _, l := range a.j.lines {
		if l.going || l.gone || l.clients.done || a.j.store.tombstone(l) { // the last of one whose child came to nothing
			continue
		}
		if !a.c.served(l) {
			l.clients.excused = now
			continue
		}
		waits, why := l.clients.waiting(now)
		kept := min(waits, now-max(a.since, l.clients.excused))
		a.counts.Kept = max(a.counts.Kept, int(kept/time.Millisecond))
		if kept > availableWithin {
			a.j.violated(Available, "clients of %s have waited %s for %s, and nothing has excused it for %s: %s", l.name, waits, why, now-a.since, a.c.atIt(l))
		}
	}
	if !a.healed {
		a.counts.Judged += int(lookEvery / time.Millisecond)
	}
}

// An errand is a call that a client waits for.
type errand struct {
	to    *standin.Server
	since time.Duration
}

// A service is a server that takes calls.
type service struct {
	seat *seat
	run  int // incarnation of its process
}

func (s *service) lives() bool { return s.seat.Running() && s.seat.Incarnation() == s.run }

// opens notes that a server takes calls, until closed.
func (cl *clients) opens(s *standin.Server, at *seat) (closed func()) {
	cl.services[s] = service{at, at.Incarnation()}
	return func() { delete(cl.services, s) }
}

// waits notes that a client waits for an answer, until done.
func (cl *clients) waits(id int, s *standin.Server) (done func()) {
	cl.errands[id] = errand{s, cl.c.w.Elapsed()}
	return func() { delete(cl.errands, id) }
}

// waiting tells for how long the clients of a branch have waited, and for what;
// 0 if they do not. Calls to servers that are gone went with them.
func (cl *clients) waiting(now time.Duration) (longest time.Duration, why string) {
	for s, x := range cl.services { //simsafe:allow each is looked at
		if !x.lives() {
			delete(cl.services, s)
		}
	}
	for id, e := range cl.errands { //simsafe:allow the longest is the same in any order
		if _, there := cl.services[e.to]; !there {
			delete(cl.errands, id)
		} else if d := now - e.since; d > longest {
			longest, why = d, "an answer"
		}
	}
	if len(cl.services) > 0 || cl.served == 0 {
		cl.served = now // if it was not yet, it is waited for from now on
	}
	if d := now - cl.served; d > longest {
		longest, why = d, "a server"
	}
	return longest, why
}
