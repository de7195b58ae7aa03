package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

// ErrChanged reports that another writer was first: the payload was not
// written and never will be.
var ErrChanged = errors.New("the register was changed by another writer")

// Bounds of the pause between two requests to a store that did not answer
// well.
const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// A Register is a value under one key. It has no state of its own: any number
// of them, in any process, may share a key.
type Register struct {
	store   env.ObjectStore
	clock   env.Clock
	entropy io.Reader
	key     string
	max     int // bytes of payload
}

// A State is what a register held at one moment. The zero State is that of
// a register never written.
type State struct {
	Payload []byte
	content content
	etag    env.ETag
}

// Version counts the writes; 0 is none.
func (s State) Version() uint64 { return s.content.version }

// New is the register under key in e's object store.
func New(e env.Env, key string) *Register { return NewSized(e, key, MaxPayload) }

// NewSized is New for payloads of up to max bytes.
func NewSized(e env.Env, key string, max int) *Register {
	return &Register{store: e.Objects(), clock: e.Clock(), entropy: e.Entropy(), key: key, max: max}
}

// Read returns what the register holds; the zero State if it was never
// written. While the store does not answer it tries again, until ctx ends.
func (r *Register) Read(ctx context.Context) (State, error) {
	var s State
	err := retry(ctx, r.clock, func() (err error) {
		s, err = r.readOnce(ctx)
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("read register %s: %w", r.key, err)
	}
	return s, nil
}

func (r *Register) readOnce(ctx context.Context) (State, error) {
	b, meta, err := env.ReadObject(ctx, r.store, r.key)
	if errors.Is(err, env.ErrNotFound) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	c, err := decode(b)
	return State{Payload: c.payload, content: c, etag: meta.ETag}, err
}

// Write replaces what s says by payload, and returns the new State once that
// is certain. [ErrChanged] comes with the State that is there instead. Any
// other error leaves open whether payload is written, or may yet be: it then
// is [env.ErrUnknown], or nothing was sent.
func (r *Register) Write(ctx context.Context, s State, payload []byte) (State, error) {
	now, err := r.write(ctx, s, payload)
	if err != nil {
		return now, fmt.Errorf("write register %s: %w", r.key, err)
	}
	return now, nil
}

func (r *Register) write(ctx context.Context, s State, payload []byte) (State, error) {
	if len(payload) > r.max {
		return State{}, fmt.Errorf("payload of %d bytes is over the limit of %d", len(payload), r.max)
	}
	var n nonce
	if _, err := io.ReadFull(r.entropy, n[:]); err != nil {
		return State{}, err
	}
	c := s.content.next(n, payload)
	w := &attempt{r: r, content: c, opts: env.PutOpts{IfMatch: s.etag, IfNoneMatch: s.etag == ""}, body: c.encode()}
	if faults.On && faults.Hit(faults.RegisterUnconditional) {
		w.opts = env.PutOpts{}
	}
	return w.settle(ctx)
}

// An attempt is one write of a register, sent as often as it takes to know
// what became of it. It is the same request each time: sent twice it can be
// executed once at most, since its own execution ends its condition for ever.
type attempt struct {
	r       *Register
	content content
	opts    env.PutOpts
	body    []byte
	sent    bool // some request may have been, or may yet be, executed
}

// settle sends the request and reads back until it knows. What the register
// then holds is this content (done), another one of the same or a later
// version (decided by the nonces), or still the one before: the request may
// then be on its way, so it is sent again, since only an execution of this or
// another write of the same version decides.
func (w *attempt) settle(ctx context.Context) (State, error) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		meta, err := w.r.store.Put(ctx, w.r.key, env.Bytes(w.body), w.opts)
		if err == nil {
			return w.state(meta.ETag), nil
		}
		if final := w.refused(err); final != nil {
			return State{}, final
		}
		if faults.On && w.sent && faults.Hit(faults.RegisterUnknownIsDone) {
			return w.state(""), nil
		}
		if faults.On && faults.Hit(faults.RegisterUnknownIsLost) {
			return State{}, ErrChanged
		}
		there, err := w.r.Read(ctx)
		if err != nil {
			return State{}, w.undecided(err)
		}
		if s, err, decided := w.decide(there); decided {
			return s, err
		}
		if err := w.r.clock.Sleep(ctx, pause); err != nil {
			return State{}, w.undecided(err)
		}
	}
}

// refused notes what an error leaves possible. Errors that no repetition
// mends are returned.
func (w *attempt) refused(err error) error {
	if errors.Is(err, env.ErrUnavailable) || errors.Is(err, env.ErrSlowDown) {
		return nil // nothing was done
	}
	if transient(err) || errors.Is(err, env.ErrPrecondition) || errors.Is(err, env.ErrNotFound) || errors.Is(err, env.ErrConflict) {
		w.sent = true
		return nil
	}
	return w.undecided(err)
}

// undecided is err, and ErrUnknown if something was sent.
func (w *attempt) undecided(err error) error {
	if w.sent {
		return fmt.Errorf("%w whether version %d was written: %w", env.ErrUnknown, w.content.version, err)
	}
	return err
}

// decide compares what is there with what was to be.
func (w *attempt) decide(there State) (State, error, bool) {
	mine, known := there.content.wrote(w.content.version, w.content.nonce)
	switch {
	case there.Version()+1 < w.content.version:
		return there, fmt.Errorf("it went back from version %d to %d, so its object was removed or restored: %w", w.content.version-1, there.Version(), env.ErrCorrupt), true
	case there.Version() < w.content.version:
		return State{}, nil, false
	case !known:
		return there, fmt.Errorf("%w whether version %d was written: version %d is there", env.ErrUnknown, w.content.version, there.Version()), true
	case !mine:
		return there, ErrChanged, true
	case there.Version() == w.content.version:
		return there, nil, true
	}
	// It was written, and others have built on it since.
	return w.state(""), nil, true
}

// state is what this attempt wrote. Without an ETag it is history, and a Write
// based on it finds that the register has changed.
func (w *attempt) state(etag env.ETag) State {
	if etag == "" {
		etag = superseded
	}
	return State{Payload: w.content.payload, content: w.content, etag: etag}
}

// superseded is no object's ETag.
const superseded env.ETag = "superseded"

// Update changes the register by f until f's change is in, and returns the
// State that it made. f may be called again with a newer State; its error ends
// the Update. An error that is env.ErrUnknown leaves open whether the change
// is in.
func (r *Register) Update(ctx context.Context, f func(State) ([]byte, error)) (State, error) {
	s, err := r.Read(ctx)
	if err != nil {
		return State{}, err
	}
	for {
		payload, err := f(s)
		if err != nil {
			return s, err
		}
		if s, err = r.Write(ctx, s, payload); !errors.Is(err, ErrChanged) {
			return s, err
		}
	}
}

// transient tells whether the same request may fare better.
func transient(err error) bool {
	for _, kind := range []error{env.ErrUnknown, env.ErrUnavailable, env.ErrSlowDown, env.ErrTimeout, env.ErrConnReset, env.ErrConnRefused, io.ErrUnexpectedEOF} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// retry calls f until it succeeds, fails for good, or ctx ends.
func retry(ctx context.Context, clock env.Clock, f func() error) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil || !transient(err) {
			return err
		}
		if cause := xsync.Cause(ctx); cause != nil {
			return fmt.Errorf("%w (last: %w)", cause, err)
		}
		if cause := clock.Sleep(ctx, pause); cause != nil {
			return fmt.Errorf("%w (last: %w)", cause, err)
		}
	}
}
