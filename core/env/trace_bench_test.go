package env_test

import (
	"testing"

	"xenon/core"
	"xenon/core/env"
)

// A tracer is as much of an Env as a hook needs; it is called through an
// interface, as Env is.
type tracer interface{ Trace() *env.Trace }

type nobody struct{}

func (*nobody) Trace() *env.Trace { return nil }

// sink keeps the work of a loop from being left out.
var sink uint64

// BenchmarkNote is what a place costs that tells of an event: where nobody
// listens, as in production, and with the place stripped.
func BenchmarkNote(b *testing.B) {
	id := core.TimelineID{1, 2, 3}
	var e tracer = &nobody{}
	b.Run("unheard", func(b *testing.B) {
		for i := range uint64(b.N) {
			e.Trace().Note("safekeeper.ack", id.Tag(), i, i, i)
			sink += i
		}
	})
	b.Run("stripped", func(b *testing.B) {
		for i := range uint64(b.N) {
			sink += i
		}
	})
}

// TestUnheardNoteIsFree: it takes no memory.
func TestUnheardNoteIsFree(t *testing.T) {
	var e tracer = &nobody{}
	id := core.TimelineID{1}
	if n := testing.AllocsPerRun(100, func() { e.Trace().Note("safekeeper.ack", id.Tag(), 1, 2, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
