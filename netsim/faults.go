package netsim

import "time"

// Tally counts what the faults of a network have done to somebody, over the
// whole run: whoever injects a fault sees by it whether that befell anybody.
type Tally struct {
	HeldUp    int // packets that met a cut link
	Broken    int // ends of connections that were reset
	Late      int // segments that took more than a quarter of the link's Tail on top
	Lost      int // segments that were sent again
	Queued    int // segments that waited for bandwidth
	Blocked   int // writes that found the window full
	Sips      int // reads that left something, since the receiver is slow
	Unheard   int // packets of those who wanted to connect, and were not answered
	Refused   int // connections that a host refused
	Slammed   int // connections that were taken and reset at once
	TimedOut  int // ends that gave up
	Cut       int // connections of which one direction ended early
	OldBytes  int // bytes that arrived after their sender had given up
	Misled    int // connections made by a name that had moved
	Cuts      int // reads and writes that were split
	ClockRead int // times that somebody read a wall clock that was set wrong
}

// Tally is what faults have done so far.
func (w *World) Tally() Tally { return w.net.tally }

// A Door is what a host does with those who want to connect.
type Door uint8

const (
	// DoorOpen lets them in.
	DoorOpen Door = iota
	// DoorSilent answers nobody, as a packet filter does that drops.
	DoorSilent
	// DoorRefuses says that nobody listens.
	DoorRefuses
	// DoorSlams takes the connection and resets it at once, as a proxy does
	// whose server is gone.
	DoorSlams
)

// SetDoor changes what a host does with those who connect from now on.
// Connections that there are go on.
func (w *World) SetDoor(name string, d Door) { w.net.named(name).door = d }

// SetBacklog makes a host leave those who connect without an answer while n of
// them wait to be accepted; 0 is the usual number.
func (w *World) SetBacklog(name string, n int) { w.net.named(name).backlog = n }

// HalfClose ends one direction of the connections between two hosts: what a
// wrote so far arrives, and then b reads the end of the stream.
func (w *World) HalfClose(a, b string) {
	h := w.net.named(a)
	w.net.between(h, w.net.named(b), func(c *conn) {
		if c.host != h || c.gone() || c.finished {
			return
		}
		w.net.tally.Cut++
		c.finished = true
		c.out.send(segFin, nil)
		c.out.writers.wakeAll(w)
	})
}

// Detain holds up what goes from a to b on the connections that there are, for
// d. Host a gives them up after half of that; new connections are not held up.
// So the bytes of an old connection arrive when there is a new one already.
func (w *World) Detain(a, b string, d time.Duration) {
	h := w.net.named(a)
	w.net.between(h, w.net.named(b), func(c *conn) {
		if c.host != h || c.gone() {
			return
		}
		c.out.heldUntil = w.now + int64(d)
		w.After(d/2, func() { c.fail(errTimedOut) })
	})
}

// Hosts is the name of every host.
func (w *World) Hosts() []string {
	var names []string
	for _, h := range w.net.hosts {
		names = append(names, h.name)
	}
	return names
}

// Tasks is how many tasks of the process have not ended.
func (p *Proc) Tasks() int {
	n := 0
	for _, t := range p.w.tasks {
		if t.env == p.env && p.env != nil {
			n++
		}
	}
	return n
}

// Conns is how many ends of connections there are that somebody may still use,
// or whose bytes are on their way.
func (w *World) Conns() int { return len(w.net.conns) }

// Held is how many tasks of a paused process are ready to go on.
func (p *Proc) Held() int {
	if p.env == nil {
		return 0
	}
	return len(p.env.held)
}

// Unalias ends an Alias.
func (w *World) Unalias(name string) { delete(w.net.aliases, name) }

// FreezeClock makes the wall clock of the process stand still, or run on from
// where it stood. The monotonic one runs on.
func (p *Proc) FreezeClock(on bool) {
	c, now := &p.clock, p.w.now
	switch {
	case on && c.frozen == 0:
		c.frozen = 1 + c.elapsed(now)
	case !on && c.frozen != 0:
		c.skew -= c.elapsed(now) - (c.frozen - 1)
		c.frozen = 0
	}
}

// SetWallClock sets the wall clock of the process to an instant.
func (p *Proc) SetWallClock(t time.Time) {
	c := &p.clock
	c.skew = t.Sub(p.w.opts.Epoch).Nanoseconds() - c.elapsed(p.w.now)
}

// wrong tells whether the wall clock differs from the world's.
func (c *clockState) wrong() bool { return c.skew != 0 || c.frozen != 0 }

// wall is what is on the wall clock, since the epoch of the world.
func (c *clockState) wall(now int64) int64 {
	if c.frozen != 0 {
		return c.frozen - 1 + c.skew
	}
	return c.elapsed(now) + c.skew
}
