//go:build faults

package layer_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"xenon/core/faults"
)

// lawBreaks runs a law that should not hold: the error is what it found.
func lawBreaks(law func(*rapid.T)) error {
	tb := &silent{}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(tb) {
				panic(p)
			}
		}()
		rapid.Check(tb, law)
	}()
	if len(tb.said) == 0 {
		return nil
	}
	return errors.New(strings.Join(tb.said, " "))
}

// silent is a test whose failure is what we look for. rapid ends it with
// FailNow, which must not return.
type silent struct {
	testing.TB
	said []string
}

func (s *silent) Helper()                      {}
func (s *silent) Name() string                 { return "law" }
func (s *silent) Failed() bool                 { return len(s.said) > 0 }
func (s *silent) Log(args ...any)              {}
func (s *silent) Logf(string, ...any)          {}
func (s *silent) Error(args ...any)            { s.said = append(s.said, fmt.Sprint(args...)) }
func (s *silent) Errorf(f string, args ...any) { s.said = append(s.said, fmt.Sprintf(f, args...)) }
func (s *silent) Fatal(args ...any)            { s.Error(args...); s.FailNow() }
func (s *silent) Fatalf(f string, args ...any) { s.Errorf(f, args...); s.FailNow() }
func (s *silent) Fail()                        { s.said = append(s.said, "failed") }
func (s *silent) FailNow()                     { panic(any(s)) }

// TestFaultsAreSeen plants one wrong line after the other: what holds the code
// must see each.
func TestFaultsAreSeen(t *testing.T) {
	// What breaks is known; the smallest example of it is not needed.
	for name, value := range map[string]string{"rapid.shrinktime": "0s", "rapid.nofailfile": "true"} {
		old := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		defer flag.Set(name, old)
	}
	delta := func() error { return lawBreaks(deltaLaw) }
	layers := func() error { return lawBreaks(mapLaw) }
	for _, tt := range []struct {
		name  string
		point faults.Point
		check func() error
	}{
		{"checksums are not compared", faults.BlockUnchecked, deltaBytesUnchecked},
		{"a chain ends with its block", faults.ChainOneBlock, longChains},
		{"a chain goes on below the LSNs asked for", faults.ChainPastFloor, delta},
		{"a shared record keeps the other page's kind", faults.SharedKind, delta},
		{"an image hides the deltas above it", faults.MapImageFirst, layers},
		{"half of what a tree covers is forgotten", faults.MapUnionLeft, layers},
		{"a map changes", faults.MapEditShared, layers},
		{"an overlap is taken", faults.MapOverlapUnseen, layers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.check(); err != nil {
				t.Fatalf("without the fault: %v", err)
			}
			defer faults.Plant(tt.point)()
			err := tt.check()
			if err == nil {
				t.Fatal("not seen")
			}
			t.Logf("seen: %.200s", err.Error())
		})
	}
}

func longChains() error {
	versions := updates(1000, 2, 150)
	b, err := encodeDelta(testDelta, true, versions)
	if err != nil {
		return err
	}
	return readDelta(b, versions)
}
