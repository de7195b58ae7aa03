// Package envtest holds every implementation of the seams in package env to
// their contracts, as testing/fstest does for io/fs.
//
// A suite is a list of cases. A [Case] is one or more lives of one process: it
// asserts by panicking with a [Failure], since a simulated task cannot call
// t.FailNow. Whoever runs a suite gives it a function that runs the lives in
// its world; see [FS] and [Objects]. That a suite can fail is shown with
// wrappers that break one promise each.
package envtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"xenon/core/env"
)

// A Life is what one incarnation of a process does.
type Life func(ctx context.Context, e env.Env)

// A Case is one promise of a seam. Its lives follow each other on one disk and
// one object store. Between two lives the process crashes, as hard as the
// world can make it crash.
type Case struct {
	Name  string
	Lives []Life
	// Full marks a case that is left out unless XENON_FULL is set.
	Full bool
	// AnyKey marks a case for object stores that take keys of any bytes, and
	// a key and others below it. Others need not run it.
	AnyKey bool
}

// A Failure is what a life panics with when a promise was broken.
type Failure struct{ Text string }

func (f Failure) Error() string { return f.Text }

// failf ends a life with a Failure.
func failf(format string, args ...any) {
	panic(Failure{fmt.Sprintf(format, args...)})
}

// ok fails unless err is nil.
func ok(err error) {
	if err != nil {
		failf("unexpected error: %v", err)
	}
}

// got returns v, or fails if there was an error.
func got[T any](v T, err error) T {
	ok(err)
	return v
}

// wantErr fails unless err is one of the wanted ones.
func wantErr(err error, what string, wanted ...error) {
	for _, w := range wanted {
		if errors.Is(err, w) {
			return
		}
	}
	failf("%s: got error %v, want %v", what, err, wanted)
}

// want fails unless the two are equal.
func want[T comparable](got, want T, what string) {
	if got != want {
		failf("%s: got %v, want %v", what, got, want)
	}
}

// Fails runs the lives directly, one after the other over the Envs that open
// makes, and returns the Failure that a life panicked with. It is for worlds
// whose tasks may be any goroutine; open is called once for each life, after
// the life before has crashed.
func Fails(c Case, open func(life int) env.Env) (failure error) {
	defer func() {
		if r := recover(); r != nil {
			f, is := r.(Failure)
			if !is {
				panic(r)
			}
			failure = f
		}
	}()
	for i, life := range c.Lives {
		life(context.Background(), open(i))
	}
	return nil
}

// run runs each case as a test of its own.
func run(t *testing.T, cases []Case, full bool, each func(t *testing.T, c Case)) {
	for _, c := range cases {
		if c.Full && !full {
			continue
		}
		t.Run(c.Name, func(t *testing.T) { each(t, c) })
	}
}
