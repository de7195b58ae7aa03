package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"xenon/core/env"
)

// A Source is the bytes of one layer file.
type Source interface {
	// ReadRange fills p with the bytes from off on; fewer are an error.
	ReadRange(ctx context.Context, p []byte, off int64) error
	// Size is the number of bytes.
	Size() int64
	// Name is what errors call the layer.
	Name() string
}

// Object is a layer in an object store, of a size known from the index that
// names it.
func Object(s env.ObjectStore, key string, size int64) Source { return &object{s, key, size} }

type object struct {
	store env.ObjectStore
	key   string
	size  int64
}

func (o *object) Size() int64  { return o.size }
func (o *object) Name() string { return o.key }

func (o *object) ReadRange(ctx context.Context, p []byte, off int64) error {
	r, _, err := o.store.Get(ctx, o.key, env.GetOpts{Off: off, Len: int64(len(p))})
	if err != nil {
		return fmt.Errorf("layer %s at byte %d: %w", o.key, off, err)
	}
	_, err = io.ReadFull(r, p)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return o.short(err, off)
}

// short tells a body cut short from a file that is too short; both are worth
// a try later, so neither is called corrupt here: the size check of Open does.
func (o *object) short(err error, off int64) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("layer %s at byte %d: %w", o.key, off, err)
	}
	return nil
}

// File is a layer on a disk, of a size known from whatever names it.
func File(f env.File, name string, size int64) Source { return &file{f, name, size} }

type file struct {
	f    env.File
	name string
	size int64
}

func (f *file) Size() int64  { return f.size }
func (f *file) Name() string { return f.name }

func (f *file) ReadRange(_ context.Context, p []byte, off int64) error {
	n, err := f.f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return corrupt(f.name, off, "the file ends after %d of %d bytes", n, len(p))
	}
	return fmt.Errorf("layer %s at byte %d: %w", f.name, off, err)
}

// A FileWriter writes a layer to a file from its start on.
type FileWriter struct {
	File env.File
	off  int64
}

func (w *FileWriter) Write(p []byte) (int, error) {
	n, err := w.File.WriteAt(p, w.off)
	w.off += int64(n)
	return n, err
}
