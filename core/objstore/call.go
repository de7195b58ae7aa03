package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// A call is what a caller asked for: one request, or as many as it takes.
type call struct {
	kind    Kind
	key     string // for a list the prefix
	timeout time.Duration
	once    bool // whatever comes of it
}

// do sends the request f until it is answered for good.
func (s *Store) do(ctx context.Context, c call, f func(context.Context) error) error {
	return s.repeat(ctx, c, func() error {
		rctx, cancel := xsync.WithCancel(ctx)
		defer cancel(nil)
		timer := s.env.Clock().AfterFunc(c.timeout, func() { cancel(errNoAnswer(c.timeout)) })
		defer timer.Stop()
		return f(rctx)
	})
}

// cut tells that err is of the caller's own body, which ended too early, and
// will again.
func (c call) cut(err error) bool { return c.kind == Put && errors.Is(err, io.ErrUnexpectedEOF) }

// repeat is do for requests that set their own bounds.
func (s *Store) repeat(ctx context.Context, c call, f func() error) error {
	at := s.log.begin(c)
	defer s.log.end(at)
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		if err := s.gate.enter(ctx); err != nil {
			return fmt.Errorf("%s %q: %w", c.kind, c.key, at.last(err))
		}
		err := f()
		s.gate.leave(err)
		again := err != nil && !c.once && Transient(err) && !c.cut(err)
		s.log.answered(at, err)
		if !again {
			return err
		}
		if cause := s.backOff(ctx, pause, err); cause != nil {
			return fmt.Errorf("%s %q: %w", c.kind, c.key, at.last(cause))
		}
	}
}

// backOff waits before a request that failed with err is sent again; it
// returns why ctx ended.
func (s *Store) backOff(ctx context.Context, pause time.Duration, err error) error {
	switch {
	case errors.Is(err, env.ErrSlowDown):
		pause = max(pause, slowPause)
	case errors.Is(err, env.ErrForbidden):
		pause = maxPause // nothing but a person or a clock mends it
	}
	return s.env.Clock().Sleep(ctx, s.gate.pause(pause))
}

// Transient tells whether the same request may fare better later.
func Transient(err error) bool {
	for _, kind := range []error{
		env.ErrUnavailable, env.ErrUnknown, env.ErrSlowDown, env.ErrForbidden,
		env.ErrTimeout, env.ErrConnReset, env.ErrConnRefused, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
