package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Stretch is a time in which clients are busy. Between stretches they rest:
// then it is only leases, polls, timers, and whatever waits for quiet, that go
// on.
type Stretch struct {
	At, For time.Duration // since the clients began
}

func (s Stretch) String() string {
	return fmt.Sprintf("%7.3fs for %.3fs", s.At.Seconds(), s.For.Seconds())
}

// maxStretches is how many a plan has at most. They are busyLeast to twice that
// in sum, however long the run is: what a run costs goes by what clients do.
const (
	maxStretches = 8
	busyLeast    = 4 * time.Second
)

// drawLength makes a run last from half a minute to two minutes, one of one
// minute and more as often as one of less.
func drawLength(d dice) time.Duration {
	r := d.of("length")
	least := 30 * time.Second << r.IntN(2)
	return least + millis(r, least)
}

// drawStretches makes few long stretches or many short ones.
func drawStretches(d dice, length time.Duration) []Stretch {
	r := d.of("stretches")
	list := make([]Stretch, logUniform(r, maxStretches))
	each := (busyLeast + millis(r, busyLeast)) / time.Duration(len(list))
	for i := range list {
		r := d.of("stretch %d", i)
		list[i].For = (each/2 + millis(r, each)).Truncate(time.Millisecond)
		list[i].At = millis(r, length-list[i].For)
	}
	return list
}

// when is a moment for a fault of a class. So many of a hundred, and all that
// clients do, fall into busy stretches, where others are about.
func (p *Plan) when(r *rand.Rand, c Class, gathered int) time.Duration {
	if c.Area() != Load && r.IntN(100) >= gathered {
		return millis(r, p.Length)
	}
	s := p.Busy[r.IntN(len(p.Busy))]
	return s.At + millis(r, s.For)
}

// lasting draws how long a fault is to last: some outlive every lease, every
// wait for a lock, and every patience. What clients do they do for a while
// only.
func lasting(r *rand.Rand, c Class) time.Duration {
	most := 16_000
	if c.Area() == Load {
		most = 2000
	}
	return time.Duration(20+logUniform(r, most)) * time.Millisecond
}

// recovering is the mean pause of a client between two calls once all is
// healed, in a run with stretches.
const recovering = 200 * time.Millisecond

// pause is how long a client waits before its next call, if it were short for a
// busy one.
func (c *cluster) pause(dice *rand.Rand, short time.Duration) time.Duration {
	if len(c.busy) == 0 || c.rush.any() {
		return short
	}
	now := c.w.Elapsed() - c.began
	if now >= c.length {
		return short + time.Duration(dice.Int64N(2*int64(recovering)))
	}
	next := c.length
	for _, s := range c.busy {
		if s.At <= now && now < s.At+s.For {
			return short
		}
		if s.At > now {
			next = min(next, s.At)
		}
	}
	return min(short+time.Duration(dice.Int64N(2*int64(c.load.Lull))), next-now+short)
}

// MarshalText and UnmarshalText make stretches strings.
func (s Stretch) MarshalText() ([]byte, error) { return []byte(strings.TrimSpace(s.String())), nil }

// UnmarshalText reads "12.300s for 2.500s".
func (s *Stretch) UnmarshalText(b []byte) error {
	w := strings.Fields(string(b))
	if len(w) != 3 || w[1] != "for" {
		return fmt.Errorf("stretch %q: want AT for TIME", b)
	}
	var err error
	if s.At, err = time.ParseDuration(w[0]); err == nil {
		s.For, err = time.ParseDuration(w[2])
	}
	return err
}

// checkPace refuses stretches that are none.
func (p *Plan) checkPace() error {
	if slices.ContainsFunc(p.Busy, func(s Stretch) bool { return s.At < 0 || s.For < 0 }) {
		return fmt.Errorf("busy %v: nothing of it may be below 0", p.Busy)
	}
	if len(p.Busy) > 0 && p.Load.Lull <= 0 {
		return fmt.Errorf("load: lull must be given where clients are busy at times only")
	}
	return nil
}
