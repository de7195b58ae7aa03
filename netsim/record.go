package netsim

import (
	"context"
	"log/slog"
	"strings"

	"xenon/core/env"
)

// A Detail is an Event with what its numbers stand for: whoever shows a run to
// a person needs names and bytes, which the hash does without. Besides the
// kinds of Event there are some that only Options.Record hears of, because
// they are no part of the hash: lose (what was on its way from A is gone),
// clock, drift and slow (A is how much, in ns or millionths), log (Name is the
// line), and whatever was given to [World.Show] and [env.Trace.Show].
type Detail struct {
	Event
	Proc        string // whose event it is, "" if nobody's; of cut and heal the host
	Incarnation int    // of Proc, 0 if it has none
	Peer        string // the process at the other end of a connection
	Name        string // of a Note: its name; of dial: the address; of Show: its text
	// Data are the bytes that were sent, written or read. They belong to the
	// world: whoever needs them later copies them.
	Data []byte
}

// Recording tells whether somebody watches: what is made for Show alone need
// not be made otherwise.
func (w *World) Recording() bool { return w.opts.Record != nil }

// Show tells whoever records the run of something that the world does not see
// itself and that is no part of the hash: a fault that begins, what a client
// was told. Without Options.Record it does nothing.
func (w *World) Show(kind, proc, text string, a, b uint64) {
	if w.opts.Record != nil {
		w.opts.Record(Detail{Event: Event{At: w.now, Kind: kind, A: a, B: b}, Proc: proc, Name: text})
	}
}

// record tells of something that befell a connection, seen from one end.
func (c *conn) record(e Event, data []byte) {
	d := Detail{Event: e, Proc: c.env.proc.name, Incarnation: c.env.incarnation, Data: data}
	if c.peer != nil {
		d.Peer = c.peer.env.proc.name
	}
	c.w.opts.Record(d)
}

// shown is what env.Trace.Show leads to while a run is recorded.
func (e *Env) shown(v env.Event) {
	if !e.dead && e.w.opts.Record != nil {
		e.w.opts.Record(Detail{Event: Event{At: e.w.now, Kind: v.Kind, A: v.A, B: v.B, C: v.C, D: v.D},
			Proc: e.proc.name, Incarnation: e.incarnation})
	}
}

// A logRecorder makes lines of Env.Log events of a recorded run, and passes
// them on.
type logRecorder struct {
	env   *Env
	next  slog.Handler
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (l *logRecorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l *logRecorder) Handle(ctx context.Context, r slog.Record) error {
	if l.next.Enabled(ctx, r.Level) {
		if err := l.next.Handle(ctx, r); err != nil {
			return err
		}
	}
	w := l.env.w
	if l.env.dead || w.opts.Record == nil {
		return nil
	}
	var b strings.Builder
	b.WriteString(r.Message)
	say := func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	}
	for _, a := range l.attrs {
		say(a)
	}
	r.Attrs(say)
	w.opts.Record(Detail{Event: Event{At: w.now, Kind: "log", A: uint64(r.Level)}, Proc: l.env.proc.name,
		Incarnation: l.env.incarnation, Name: b.String()})
	return nil
}

// WithAttrs implements slog.Handler.
func (l *logRecorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logRecorder{l.env, l.next.WithAttrs(attrs), append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

// WithGroup implements slog.Handler.
func (l *logRecorder) WithGroup(name string) slog.Handler {
	return &logRecorder{l.env, l.next.WithGroup(name), l.attrs}
}
