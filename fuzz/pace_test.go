package fuzz

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
	"xenon/netsim"
)

// TestDrawnPace: faults go on for half a minute to two, clients are busy for a
// few seconds of it, and what they do to the system falls into these.
func TestDrawnPace(t *testing.T) {
	long := 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(rapid.Uint64().Draw(t, "seed"), Classes())
		if p.Length < 30*time.Second || p.Length >= 2*time.Minute {
			t.Fatalf("a run of %s", p.Length)
		}
		sum := time.Duration(0)
		for _, s := range p.Busy {
			if sum += s.For; s.At < 0 || s.At+s.For > p.Length || s.For <= 0 {
				t.Fatalf("a stretch %v of %s", s, p.Length)
			}
		}
		if n := len(p.Busy); n == 0 || n > maxStretches || sum < busyLeast/3 || sum > 3*busyLeast || p.Load.Lull <= 0 {
			t.Fatalf("%d stretches of %s, pauses of %s", n, sum, p.Load.Lull)
		}
		for _, s := range p.Steps {
			in := func(x Stretch) bool { return x.At <= s.At && s.At < x.At+x.For }
			if s.At >= p.Length || s.Class.Area() == Load && !slices.ContainsFunc(p.Busy, in) {
				t.Fatalf("step %v, clients are busy at %v", s, p.Busy)
			}
			if s.For > 10*time.Second {
				long++
			}
		}
	})
	if long == 0 {
		t.Error("no fault lasts long")
	}
}

// TestPause: a busy client waits as long as it is told; one that rests waits
// longer, but not until after the next stretch has begun.
func TestPause(t *testing.T) {
	const short, length = 30 * time.Millisecond, time.Minute
	w := netsim.New(netsim.Options{})
	defer w.Close()
	c := &cluster{w: w, length: length, load: load{Lull: time.Hour}}
	dice := netsim.Stream(1, "pause")
	if d := c.pause(dice, short); d != short {
		t.Errorf("without stretches %s", d)
	}
	c.busy = []Stretch{{At: 10 * time.Second, For: time.Second}, {At: 10500 * time.Millisecond, For: 2 * time.Second}}
	asked := 0
	for _, tt := range []struct{ at, least, most time.Duration }{
		{time.Second, short, 9*time.Second + short},
		{10 * time.Second, short, short},
		{12 * time.Second, short, short},
		{13 * time.Second, short, 47*time.Second + short},
		{length, short, short + 2*recovering},
	} {
		w.After(tt.at, func() {
			asked++
			if d := c.pause(dice, short); d < tt.least || d > tt.most {
				t.Errorf("at %s a pause of %s, want %s to %s", tt.at, d, tt.least, tt.most)
			}
			if c.rush.hasty = true; c.pause(dice, short) != short {
				t.Errorf("at %s clients who are in a hurry rest", tt.at)
			}
			c.rush.hasty = false
		})
	}
	if err := w.Run(2*length, nil); err != nil || asked != 5 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// TestStretchText: what is no stretch is refused.
func TestStretchText(t *testing.T) {
	good := text(drawPlan(1, nil))
	i := strings.Index(good, `"busy": [`)
	for _, bad := range []string{`"1s"`, `"1s for"`, `"-1s for 2s"`, `"1s for -2s"`, `"1 for 2s"`, `"1s fur 2s"`} {
		plan := good[:i] + `"busy": [` + bad + `, ` + good[i+len(`"busy": [`):]
		if _, err := ReadPlan(strings.NewReader(plan)); err == nil {
			t.Errorf("%s is a stretch", bad)
		}
	}
	if _, err := ReadPlan(strings.NewReader(strings.Replace(good, `"lull"`, `"lulls"`, 1))); err == nil {
		t.Error("clients rest for no time")
	}
}

// TestHasten: everything comes in half the time.
func TestHasten(t *testing.T) {
	p := drawPlan(7, Classes())
	q := p.clone()
	q.hasten()
	if d := p.Length - 2*q.Length; d < 0 || d > 2*time.Millisecond {
		t.Errorf("%s of %s", q.Length, p.Length)
	}
	for i, s := range q.Steps {
		if d := p.Steps[i].At - 2*s.At; d < 0 || d > 2*time.Millisecond || s.For != p.Steps[i].For {
			t.Errorf("%v of %v", s, p.Steps[i])
		}
	}
}
