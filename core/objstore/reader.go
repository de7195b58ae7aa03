package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

// ErrChanged reports an object that was overwritten while it was read.
var ErrChanged = errors.New("the object changed while it was read")

// A reader is the body of a Get. When it breaks off or stands still, the rest
// is asked for.
type reader struct {
	store *Store
	ctx   context.Context
	key   string
	off   int64 // of the next byte
	to    int64 // where the range ends, once the object's size is known
	meta  env.ObjectMeta

	body   io.ReadCloser // nil between two requests
	cancel context.CancelCauseFunc
	timer  env.Timer // ends the request unless it is stopped in time
}

// open sends the request until the body is there.
func (r *reader) open(o env.GetOpts) (meta env.ObjectMeta, err error) {
	s := r.store
	c := call{kind: Get, key: r.key, timeout: s.opts.Timeout}
	err = s.repeat(r.ctx, c, func() error {
		// The body lives under this context, so it ends with the body.
		ctx, cancel := xsync.WithCancel(r.ctx)
		timer := s.env.Clock().AfterFunc(c.timeout, func() { cancel(errNoAnswer(c.timeout)) })
		body, m, err := s.under.Get(ctx, r.key, o)
		timer.Stop()
		if err != nil {
			cancel(nil)
			return err
		}
		r.body, r.cancel, r.timer, meta = body, cancel, timer, m
		return nil
	})
	return meta, err
}

// Read reads what comes next, from another body if need be.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.body == nil {
			if err := r.resume(); err != nil {
				return 0, err
			}
		}
		r.timer.Reset(r.store.opts.Timeout)
		n, err := r.body.Read(p)
		r.timer.Stop()
		r.off += int64(n)
		r.store.log.moved(0, int64(n))
		if err == io.EOF && r.off < r.to {
			err = io.ErrUnexpectedEOF
		}
		if err == nil || err == io.EOF || xsync.Cause(r.ctx) != nil || !Transient(err) {
			return n, err
		}
		r.drop()
		if n > 0 {
			return n, nil
		}
	}
}

// resume asks for the rest of the same object.
func (r *reader) resume() error {
	if r.off >= r.to {
		return io.EOF // only its end got lost
	}
	meta, err := r.open(env.GetOpts{Off: r.off, Len: r.to - r.off})
	if err != nil {
		return err
	}
	if faults.On && faults.Hit(faults.ResumeUnchecked) {
		return nil
	}
	if meta.ETag != r.meta.ETag || meta.Size != r.meta.Size {
		return fmt.Errorf("get %q: %w", r.key, ErrChanged)
	}
	return nil
}

// drop lets go of a body that broke off.
func (r *reader) drop() {
	_ = r.body.Close() // it failed already
	r.cancel(nil)
	r.body = nil
}

// Close ends the reading.
func (r *reader) Close() error {
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.cancel(nil)
	r.body = nil
	return err
}
