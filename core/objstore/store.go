// Package objstore makes a bucket that fails now and then one that only takes
// longer. It decides which requests are sent again, when, and how many are
// under way at once; and it can say what waits, for how long, and why.
//
// What is sent again: reads, listings, deletes, and unconditional puts, for
// whose names callers promise that they are never used twice, so that a put
// executed late changes nothing that is read. A conditional put is sent once
// and its error handed on, since only its caller can tell what an unknown
// outcome means (package register).
//
// Start at [New].
package objstore

import (
	"context"
	"fmt"
	"io"
	"time"

	"xenon/core/env"
	"xenon/core/faults"
)

// Options say how patient and how modest a Store is. The zero Options are
// those of production.
type Options struct {
	// Concurrency is how many requests are under way at once, bodies of answers
	// not counted; 0 is 16. A store that asks to slow down gets fewer for
	// a while.
	Concurrency int
	// Timeout is how long one request may take, and how long the body of an
	// answer may stand still; 0 is 30 s. A put has a second more for every
	// 256 KiB.
	Timeout time.Duration
}

// Bounds that nobody has needed to change.
const (
	defaultConcurrency = 16
	defaultTimeout     = 30 * time.Second
	// slowest is the pace, in bytes a second, below which a put is given up.
	slowest = 256 << 10
	// Pauses before a request is sent again: doubled from the least to the
	// most, and up to a half longer, by lot.
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
	// slowPause is the least pause after a store asked to slow down.
	slowPause = 500 * time.Millisecond
)

// A Store is an [env.ObjectStore] over another one. Where that one answers
// [env.ErrUnavailable], [env.ErrSlowDown], [env.ErrUnknown] or
// [env.ErrForbidden] (credentials expire and are renewed), a Store waits and
// asks again until the caller's context ends; the error then says both why it
// ended and what the store said last. Other errors are returned at once.
type Store struct {
	env   env.Env
	under env.ObjectStore
	opts  Options
	gate  gate
	log   journal
}

var _ env.ObjectStore = (*Store)(nil)

// New is an object store of e's, such as e.Objects(), made patient.
func New(e env.Env, under env.ObjectStore, o Options) *Store {
	if o.Concurrency == 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	s := &Store{env: e, under: under, opts: o}
	s.gate.init(e, o.Concurrency)
	s.log.init(e)
	return s
}

// Put stores an object. Without a condition it is sent until it is stored, so
// key must be a name that is never used again; with one it is sent once.
func (s *Store) Put(ctx context.Context, key string, body env.Body, o env.PutOpts) (meta env.ObjectMeta, err error) {
	// What one store takes another may not; this one stands over them all.
	if err := env.CheckKey(key); err != nil {
		return env.ObjectMeta{}, fmt.Errorf("put: %w", err)
	}
	size := body.Size()
	c := call{kind: Put, key: key, timeout: s.opts.Timeout + time.Duration(size/slowest)*time.Second}
	c.once = o != env.PutOpts{}
	if faults.On && faults.Hit(faults.ConditionalPutAgain) {
		c.once = false
	}
	err = s.do(ctx, c, func(ctx context.Context) (err error) {
		meta, err = s.under.Put(ctx, key, body, o)
		if err == nil {
			s.log.moved(size, 0)
		}
		return err
	})
	return meta, err
}

// Get opens a range of an object. A body that breaks off is taken up again
// where it ended, as long as the object is the same one.
func (s *Store) Get(ctx context.Context, key string, o env.GetOpts) (io.ReadCloser, env.ObjectMeta, error) {
	r := &reader{store: s, ctx: ctx, key: key, off: o.Off, to: o.Off + o.Len}
	meta, err := r.open(o)
	if err != nil {
		return nil, env.ObjectMeta{}, err
	}
	if r.meta = meta; o.Len == 0 || r.to > meta.Size {
		r.to = meta.Size
	}
	return r, meta, nil
}

// Head tells what is stored under key.
func (s *Store) Head(ctx context.Context, key string) (meta env.ObjectMeta, err error) {
	err = s.do(ctx, call{kind: Head, key: key, timeout: s.opts.Timeout}, func(ctx context.Context) (err error) {
		meta, err = s.under.Head(ctx, key)
		return err
	})
	return meta, err
}

// List lists one page of keys.
func (s *Store) List(ctx context.Context, o env.ListOpts) (page env.ListPage, err error) {
	err = s.do(ctx, call{kind: List, key: o.Prefix, timeout: s.opts.Timeout}, func(ctx context.Context) (err error) {
		page, err = s.under.List(ctx, o)
		return err
	})
	return page, err
}

// Delete removes a key. It is sent until it is done, so key must be a name
// that is never used again.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.do(ctx, call{kind: Delete, key: key, timeout: s.opts.Timeout}, func(ctx context.Context) error {
		return s.under.Delete(ctx, key)
	})
}

// errNoAnswer ends one request, not what the caller asked for.
func errNoAnswer(d time.Duration) error {
	return fmt.Errorf("no answer within %v: %w", d, env.ErrTimeout)
}
