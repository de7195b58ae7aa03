// Package killed counts how many checks a property needs to notice that the code
// is wrong, for tests that plant faults. Start at [By].
package killed

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// A Choose picks 0 <= x < n. What a property does follows from its choices.
type Choose = func(n int) int

// A Property runs with random choices and returns what is wrong.
type Property = func(choose Choose) error

// A Kill is how a property noticed.
type Kill struct {
	Checks int           // how many runs of the property it took
	Took   time.Duration // wall time of all of them
	Why    string        // what was wrong, in one line
}

func (k Kill) String() string {
	return fmt.Sprintf("%d checks, %s: %s", k.Checks, k.Took.Round(time.Millisecond), k.Why)
}

// Drawn is how rapid draws choices. Half of the runs choose evenly, the others
// as rapid does, which is fond of small numbers: of the first case of a switch.
func Drawn(t *rapid.T) Choose {
	if even.Draw(t, "even") {
		return func(n int) int {
			u := word.Draw(t, "choice")
			u *= 0x9E3779B97F4A7C15 // 0 stays 0, to which rapid shrinks
			return int((u ^ u>>32) % uint64(n))
		}
	}
	return func(n int) int {
		if n >= len(small) {
			return rapid.IntRange(0, n-1).Draw(t, "choice")
		}
		return small[n].Draw(t, "choice")
	}
}

var (
	even  = rapid.Bool()
	word  = rapid.Uint64Range(0, 1<<62)
	small = func() (all [256]*rapid.Generator[int]) {
		for n := range all {
			all[n] = rapid.IntRange(0, max(n-1, 0))
		}
		return all
	}()
)

// Ahead draws n choices now, for what runs in a task of a simulated world: rapid
// ends a check by a panic, which the world would take for one of the program.
// When they are used up it begins with the first again.
func Ahead(choose Choose, n int) Choose {
	var words []int
	for range n {
		words = append(words, choose(1<<20))
	}
	i := -1
	return func(n int) int {
		i = (i + 1) % len(words)
		return words[i] % n
	}
}

// Holds checks a property as rapid.Check does.
func Holds(t rapid.TB, p Property) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		if err := p(Drawn(t)); err != nil {
			t.Fatal(err)
		}
	})
}

// By has rapid look for choices with which p is wrong, in so many checks; false
// if there are none. The same checks are made every time.
func By(p Property, checks int) (k Kill, ok bool) {
	for name, value := range map[string]string{
		"rapid.checks": fmt.Sprint(checks), "rapid.seed": "1", "rapid.nofailfile": "true", "rapid.shrinktime": "0s",
	} {
		f := flag.Lookup(name)
		was := f.Value.String()
		defer f.Value.Set(was)
		if err := f.Value.Set(value); err != nil {
			panic(err) // a flag of rapid is gone
		}
	}
	began, n := time.Now(), 0
	done := make(chan bool)
	go func() {
		defer close(done)
		rapid.Check(&silent{}, func(t *rapid.T) {
			n++
			if err := p(Drawn(t)); err != nil {
				if !ok {
					k.Why, _, _ = strings.Cut(err.Error(), "\n")
					k.Checks, k.Took, ok = n, time.Since(began), true
				}
				t.Fatal("killed")
			}
		})
	}()
	<-done
	return k, ok
}

// silent is a test that may fail without anybody being told.
type silent struct{ failed bool }

func (*silent) Helper()                 {}
func (*silent) Name() string            { return "killed" }
func (*silent) Logf(string, ...any)     {}
func (*silent) Log(...any)              {}
func (*silent) Skipf(string, ...any)    { runtime.Goexit() }
func (*silent) Skip(...any)             { runtime.Goexit() }
func (*silent) SkipNow()                { runtime.Goexit() }
func (s *silent) Errorf(string, ...any) { s.failed = true }
func (s *silent) Error(...any)          { s.failed = true }
func (s *silent) Fatalf(string, ...any) { s.FailNow() }
func (s *silent) Fatal(...any)          { s.FailNow() }
func (s *silent) FailNow()              { s.failed = true; runtime.Goexit() }
func (s *silent) Fail()                 { s.failed = true }
func (s *silent) Failed() bool          { return s.failed }
