// Package overlay keeps what a server wrote over pages that lie elsewhere.
//
// Nothing of it outlives the server: its directory is emptied before the next
// one starts, and no write is ever synced. What a server wrote is durable in
// its WAL or not at all. Start at [File]; [Scratch] is where files put their
// bytes.
package overlay

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/xsync"
)

// A Scratch is a directory of numbered files on the process's disk, with a
// bounded number of them open. A relation has a file for each gigabyte of each
// fork, and a server touches thousands: an unbounded number would run out of
// descriptors.
type Scratch struct {
	fs      env.FS
	dir     string
	maxOpen int

	opening xsync.Mutex // held while files are opened and closed

	mu   sync.Mutex // leaf; guards what follows and the fields of slots
	next uint64
	open list.List // of *slot, the one used last at the back
}

// A slot is one numbered file, which may not exist yet.
type slot struct {
	num  uint64
	file env.File      // nil while closed
	uses int           // reads and writes that go on
	at   *list.Element // in open, nil while closed
	made bool          // the file exists
	gone bool          // the file was removed
}

// NewScratch makes the directory dir of fs a scratch, emptied of what an
// earlier server left there. At most maxOpen of its files, and those in use,
// are open at once.
func NewScratch(e env.Env, dir string, maxOpen int) (*Scratch, error) {
	core.Must(maxOpen > 0, "a scratch directory with %d open files", maxOpen)
	s := &Scratch{fs: e.FS(), dir: dir, maxOpen: maxOpen}
	s.opening.Init(e)
	if err := s.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make scratch directory %s: %w", dir, err)
	}
	left, err := s.fs.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("empty scratch directory %s: %w", dir, err)
	}
	for _, entry := range left {
		if err := s.fs.Remove(dir + "/" + entry.Name); err != nil {
			return nil, fmt.Errorf("empty scratch directory %s: %w", dir, err)
		}
	}
	return s, nil
}

// Free is how many bytes can still be written to the disk below.
func (s *Scratch) Free() (uint64, error) { return s.fs.Free() }

// Close closes all files. It is called when nothing uses them any more.
func (s *Scratch) Close() error {
	s.opening.Lock()
	defer s.opening.Unlock()
	var errs []error
	for _, f := range s.evict(0) {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (s *Scratch) slot() *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return &slot{num: s.next}
}

func (s *Scratch) path(num uint64) string { return fmt.Sprintf("%s/%08x", s.dir, num) }

// use gives the open file of a slot until release.
func (s *Scratch) use(sl *slot) (env.File, error) {
	if f := s.inUse(sl); f != nil {
		return f, nil
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	if f := s.inUse(sl); f != nil {
		return f, nil
	}
	core.Must(!sl.gone, "scratch file %d used after it was removed", sl.num)
	flag := env.Write
	if !sl.made {
		// It may be there after all, if making it failed once.
		flag |= env.Create | env.Trunc
	}
	f, err := s.fs.Open(s.path(sl.num), flag)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	sl.file, sl.uses, sl.made = f, 1, true
	sl.at = s.open.PushBack(sl)
	s.mu.Unlock()
	for _, f := range s.evict(s.maxOpen) {
		// What was written is in the file whether Close says so or not.
		_ = f.Close()
	}
	return f, nil
}

func (s *Scratch) inUse(sl *slot) env.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.file == nil {
		return nil
	}
	sl.uses++
	s.open.MoveToBack(sl.at)
	return sl.file
}

func (s *Scratch) release(sl *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl.uses--
}

// evict takes files that are not in use away until no more than keep are open,
// and returns them for the caller to close.
func (s *Scratch) evict(keep int) (files []env.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := s.open.Front(); at != nil && s.open.Len() > keep; {
		sl := at.Value.(*slot)
		at = at.Next()
		if sl.uses == 0 {
			files = append(files, s.closed(sl))
		}
	}
	return files
}

// closed takes the file of a slot away, for the caller to close.
func (s *Scratch) closed(sl *slot) env.File {
	f := sl.file
	s.open.Remove(sl.at)
	sl.file, sl.at = nil, nil
	return f
}

// remove deletes the file of a slot that nothing uses any more.
func (s *Scratch) remove(sl *slot) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.mu.Lock()
	core.Must(sl.uses == 0, "scratch file %d removed while it is used", sl.num)
	var f env.File
	if sl.file != nil {
		f = s.closed(sl)
	}
	sl.gone = true
	made := sl.made
	s.mu.Unlock()
	if f != nil {
		_ = f.Close()
	}
	if !made {
		return nil
	}
	return s.fs.Remove(s.path(sl.num))
}
