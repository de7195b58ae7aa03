package netsim

import (
	"math/rand/v2"
	"time"
)

// LinkOptions are what one direction between two hosts is like.
type LinkOptions struct {
	// A segment takes Latency, plus up to Jitter, plus up to Tail for so many
	// of 1,000 segments as Tails says. Within a host it is a tenth of that.
	Latency, Jitter time.Duration
	Tail            time.Duration
	Tails           int
	// Bandwidth in bytes a second; 0 is without bound.
	Bandwidth int64
	// Window is how many bytes of a connection may be sent and not read.
	Window int
	// Losses is how many of 1,000 segments are lost, and sent again: after a
	// fifth of a second first, and after twice as long each time that is lost too.
	Losses int
	// A receiver takes Sip bytes at once and a time of SipTime for each, if
	// that is given.
	Sip     int
	SipTime time.Duration
	// Splits is how many of 1,000 reads and writes are cut at a random byte.
	Splits int
	// Resets is how many of 1,000,000 data segments are delivered and then
	// have their connection reset: the sender does not know that they were.
	Resets int
	// After UserTimeout without an answer to sent data, after KeepAlive
	// without any, an end gives the connection up with a timeout. Each time
	// is drawn anew from 80 to 120 percent of it.
	UserTimeout, KeepAlive time.Duration
}

// DefaultLink is a quiet network of one data centre.
var DefaultLink = LinkOptions{
	Latency:     200 * time.Microsecond,
	Jitter:      100 * time.Microsecond,
	Window:      64 << 10,
	UserTimeout: 30 * time.Second,
	KeepAlive:   time.Minute,
}

// link is one direction between two hosts.
type link struct {
	opts     LinkOptions
	rand     *rand.Rand
	from, to *host
	cut      bool
	cutAt    int64
	busy     int64 // until when its bandwidth is taken
	even     bool  // it has no jitter and no tails
}

// latency draws how long a packet is under way.
func (l *link) latency() int64 {
	d := int64(l.opts.Latency)
	if l.opts.Jitter > 0 && !l.even {
		d += l.rand.Int64N(int64(l.opts.Jitter))
	}
	if l.opts.Tails > 0 && l.opts.Tail > 0 && !l.even && l.rand.IntN(1000) < l.opts.Tails {
		d += l.rand.Int64N(int64(l.opts.Tail))
	}
	if l.from == l.to {
		d /= 10
	}
	return max(d, 1)
}

// arrival draws when n bytes sent now arrive.
func (l *link) arrival(t *Tally, now int64, n int) int64 {
	if l.opts.Bandwidth > 0 {
		if l.busy > now {
			t.Queued++
		}
		l.busy = max(l.busy, now) + int64(n)*int64(time.Second)/l.opts.Bandwidth
		now = l.busy
	}
	d := l.latency()
	if tail := int64(l.opts.Tail); tail > 0 && d > int64(l.opts.Latency+l.opts.Jitter)+tail/4 {
		t.Late++
	}
	if l.opts.Losses > 0 {
		for again := int64(firstAgain); l.rand.IntN(1000) < l.opts.Losses && again < int64(time.Minute); again *= 2 {
			t.Lost++
			d += again
		}
	}
	return now + d
}

// firstAgain is when a kernel sends a lost segment again (Linux's least time).
const firstAgain = 200 * time.Millisecond

// split draws how many of n bytes are taken at once.
func (l *link) split(t *Tally, n int) int {
	if n > 1 && l.opts.Splits > 0 && l.rand.IntN(1000) < l.opts.Splits {
		t.Cuts++
		return 1 + l.rand.IntN(n-1)
	}
	return n
}

func (l *link) patience(d time.Duration) int64 {
	return int64(d)*4/5 + l.rand.Int64N(int64(d)*2/5+1)
}

// SetLink changes the link from one host to another, one way.
func (w *World) SetLink(from, to string, o LinkOptions) {
	w.net.link(w.net.named(from), w.net.named(to)).opts = o
}

// SetLinks changes every link there is and those to come.
func (w *World) SetLinks(o LinkOptions) {
	w.opts.Link = o
	w.net.eachLink(func(l *link) { l.opts = o })
}

// Cut stops what goes from one host to another; the other direction is left
// alone. Bytes on their way are held up, and sent again after Heal.
func (w *World) Cut(from, to string) { w.net.setCut(w.net.named(from), w.net.named(to), true) }

// Heal ends Cut.
func (w *World) Heal(from, to string) { w.net.setCut(w.net.named(from), w.net.named(to), false) }

// Partition cuts both directions between each host of a and each of b.
func (w *World) Partition(a, b []string) {
	for _, x := range a {
		for _, y := range b {
			w.Cut(x, y)
			w.Cut(y, x)
		}
	}
}

// Isolate cuts a host off from all others.
func (w *World) Isolate(name string) {
	h := w.net.named(name)
	for _, other := range w.net.hosts {
		if other != h {
			w.net.setCut(h, other, true)
			w.net.setCut(other, h, true)
		}
	}
}

// HealAll ends every Cut.
func (w *World) HealAll() {
	w.net.eachLink(func(l *link) { w.net.setCut(l.from, l.to, false) })
}

// Alias makes name lead to a host from now on, in place of where it led.
func (w *World) Alias(name, host string) { w.net.aliases[name] = w.net.named(host) }

// Reset resets every connection between two hosts, as a middlebox does.
func (w *World) Reset(a, b string) {
	w.net.between(w.net.named(a), w.net.named(b), func(c *conn) {
		w.net.tally.Broken++
		c.fail(errReset)
	})
}

// HalfOpen makes host a forget its connections with b: its ends fail, b is not
// told, and learns it when it sends.
func (w *World) HalfOpen(a, b string) {
	h := w.net.named(a)
	w.net.between(h, w.net.named(b), func(c *conn) {
		if c.host == h {
			w.net.tally.Broken++
			c.fail(errReset)
		}
	})
}
