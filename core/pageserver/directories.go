package pageserver

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"xenon/core/env"
	"xenon/core/faults"
)

// directories makes directories, and knows which of them this process has seen
// made durable. That one is there says nothing of it: the process before may
// have been killed between its making and its sync.
type directories struct {
	mu      sync.Mutex // leaf: guards what follows
	durable map[string]bool
}

// make makes a directory and those above it. Once it returned nil they survive
// a power cut.
func (d *directories) make(f env.FS, dir string) error {
	parent := "."
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if err := d.makeOne(f, parent, dir[:i]); err != nil {
			return fmt.Errorf("make directory %s: %w", dir[:i], err)
		}
		parent = dir[:i]
	}
	return nil
}

func (d *directories) makeOne(f env.FS, parent, dir string) error {
	err := f.Mkdir(dir)
	found := errors.Is(err, fs.ErrExist)
	switch {
	case err != nil && !found:
		return err
	case found && (d.known(dir) || faults.On && faults.Hit(faults.FoundDirTrusted)):
		return nil
	}
	d.note(dir, false) // whatever was here before
	if err := f.SyncDir(parent); err != nil {
		return err
	}
	d.note(dir, true)
	return nil
}

func (d *directories) known(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.durable[path]
}

func (d *directories) note(path string, durable bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.durable == nil {
		d.durable = map[string]bool{}
	}
	d.durable[path] = durable
}
