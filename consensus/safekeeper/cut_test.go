package safekeeper_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"xenon/core/env"
	"xenon/realio"
)

// A trip is a disk's view that changes its behaviour at one operation: from
// operation at on it has no power (cut), or that one operation finds the disk
// full (noSpace). Operations that only read do not count.
type trip struct {
	env.FS
	kind tripKind
	at   int

	mu   sync.Mutex
	ops  int
	dead bool
}

type tripKind uint8

const (
	cut tripKind = iota
	noSpace
)

var errNoPower = fmt.Errorf("the power is off: %w", env.ErrIO)

// step counts an operation and tells what becomes of it. grows is whether it
// takes space.
func (c *trip) step(grows bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errNoPower
	}
	c.ops++
	if c.at == 0 || c.ops < c.at {
		return nil
	}
	if c.kind == cut {
		c.dead = true
		return errNoPower
	}
	if grows {
		c.at = 0
		return env.ErrNoSpace
	}
	return nil
}

// off takes the power away now.
func (c *trip) off() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
}

func (c *trip) happened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// spent tells whether the one operation found the disk full.
func (c *trip) spent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at == 0
}

func (c *trip) Open(name string, flag env.OpenFlag) (env.File, error) {
	if flag&env.Create != 0 {
		if err := c.step(true); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	dead := c.dead
	c.mu.Unlock()
	if dead {
		return nil, errNoPower
	}
	f, err := c.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &tripFile{f, c}, nil
}

func (c *trip) Rename(a, b string) error { return c.do(func() error { return c.FS.Rename(a, b) }) }
func (c *trip) Remove(name string) error { return c.do(func() error { return c.FS.Remove(name) }) }
func (c *trip) SyncDir(n string) error   { return c.do(func() error { return c.FS.SyncDir(n) }) }

func (c *trip) Mkdir(name string) error {
	if err := c.step(true); err != nil {
		return err
	}
	return c.FS.Mkdir(name)
}

func (c *trip) do(f func() error) error {
	if err := c.step(false); err != nil {
		return err
	}
	return f()
}

type tripFile struct {
	env.File
	c *trip
}

func (f *tripFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.c.step(true); err != nil {
		// What a full disk or a power cut does: a part of it is there.
		f.File.WriteAt(p[:len(p)/2], off)
		return len(p) / 2, err
	}
	return f.File.WriteAt(p, off)
}

func (f *tripFile) Allocate(off, n int64) error {
	if err := f.c.step(true); err != nil {
		return err
	}
	return f.File.Allocate(off, n)
}

func (f *tripFile) Sync(m env.SyncMode) error { return f.c.do(func() error { return f.File.Sync(m) }) }

// quick is a process whose pauses are a hundredth of what they say.
type quick struct {
	*realio.Env
	fs env.FS
}

func (e quick) FS() env.FS       { return e.fs }
func (e quick) Clock() env.Clock { return quickClock{e.Env.Clock()} }

type quickClock struct{ env.Clock }

func (c quickClock) Sleep(ctx context.Context, d time.Duration) error {
	return c.Clock.Sleep(ctx, d/100)
}

func (c quickClock) Mono() env.Instant { return 100 * c.Clock.Mono() }
