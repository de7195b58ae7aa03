package remote

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
)

// Upload stores a layer under a name of its own and returns what to enter in
// the index. It asks the store once; the caller tries again, which takes
// another name.
func (o *Owner) Upload(ctx context.Context, x layer.Extent, body env.Body) (LayerEntry, error) {
	if err := o.Superseded(); err != nil {
		return LayerEntry{}, err
	}
	l := LayerEntry{Name: x.Name(), Generation: o.gen, Upload: o.number(), Size: body.Size()}
	key := objectName(o.id, l)
	sent := &summed{Body: body}
	if faults.On && faults.Hit(faults.RemoteIndexFirst) {
		return o.uploadLater(l, sent)
	}
	_, err := o.e.Objects().Put(ctx, key, sent, env.PutOpts{})
	if faults.On && errors.Is(err, env.ErrUnknown) && faults.Hit(faults.RemoteUnsureUpload) {
		err = nil
	}
	if err != nil {
		return l, fmt.Errorf("upload layer %s: %w", key, err)
	}
	if l.CRC, err = sent.sum(); err != nil {
		return l, fmt.Errorf("upload layer %s: %w", key, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uploaded[l] = true
	return l, nil
}

// uploadLater is a planted fault: it claims what it only begins.
func (o *Owner) uploadLater(l LayerEntry, body *summed) (LayerEntry, error) {
	key := objectName(o.id, l)
	r, err := body.Open()
	if err != nil {
		return l, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return l, err
	}
	o.e.Go("late upload", func(ctx context.Context) { o.e.Objects().Put(ctx, key, env.Bytes(b), env.PutOpts{}) })
	l.CRC = crc32.Checksum(b, castagnoli)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uploaded[l] = true
	return l, nil
}

// number is one that no other upload of this owner has.
func (o *Owner) number() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.next
	if !(faults.On && faults.Hit(faults.RemoteNumberReused)) {
		o.next++
	}
	return n
}

// A summed body knows the CRC of what was read of it.
type summed struct {
	env.Body
	mu   sync.Mutex // leaf
	done bool       // the body was read to its end once
	crc  uint32
}

func (s *summed) Open() (io.ReadCloser, error) {
	r, err := s.Body.Open()
	if err != nil {
		return nil, err
	}
	return &summing{ReadCloser: r, of: s}, nil
}

// sum is the CRC of the body. Two readings that differ are no body to store.
func (s *summed) sum() (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		return 0, fmt.Errorf("the store took a body without reading it: %w", env.ErrIO)
	}
	return s.crc, nil
}

func (s *summed) read(crc uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done && s.crc != crc {
		return fmt.Errorf("read twice, the file has checksums %08X and %08X: %w", s.crc, crc, env.ErrCorrupt)
	}
	s.done, s.crc = true, crc
	return nil
}

type summing struct {
	io.ReadCloser
	of   *summed
	crc  uint32
	size int64
}

func (r *summing) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.crc, r.size = crc32.Update(r.crc, castagnoli, p[:n]), r.size+int64(n)
	if r.size == r.of.Size() && n > 0 {
		if bad := r.of.read(r.crc); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

// Remove takes layers out of the index, looks for a newer generation, and only
// then deletes their objects. After an error it is called again. An object that
// was not deleted because this owner died is left to the next one's
// [Owner.Sweep].
func (o *Owner) Remove(ctx context.Context, layers []LayerEntry) error {
	gone := make(map[LayerEntry]bool, len(layers))
	for _, l := range layers {
		gone[l] = true
	}
	if faults.On && faults.Hit(faults.RemoteDeleteFirst) {
		if err := o.deleteLayers(ctx, layers); err != nil {
			return err
		}
	}
	err := o.Change(ctx, func(x *Index) error {
		kept := x.Layers[:0]
		for _, l := range x.Layers {
			if !gone[l] {
				kept = append(kept, l)
			}
		}
		x.Layers = kept
		return nil
	})
	if faults.On && errors.Is(err, ErrSuperseded) && faults.Hit(faults.RemoteDeleteUnseen) {
		err = nil
	}
	if err != nil {
		return err
	}
	return o.deleteLayers(ctx, layers)
}

func (o *Owner) deleteLayers(ctx context.Context, layers []LayerEntry) error {
	for _, l := range layers {
		if err := o.delete(ctx, objectName(o.id, l)); err != nil {
			return err
		}
	}
	return nil
}

func (o *Owner) delete(ctx context.Context, key string) error {
	err := retry(ctx, o.e.Clock(), func() error { return o.e.Objects().Delete(ctx, key) })
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// Sweep deletes layer objects of earlier generations that the index does not
// name, and says how many: uploads that were never entered, deletions that were
// cut short. They are of no use to any index to come, since all of those
// descend from the one it goes by, which was stored before a look that found no
// newer owner. What this owner uploads is left alone.
func (o *Owner) Sweep(ctx context.Context) (int, error) {
	o.mu.Lock()
	x := o.sure
	if faults.On && faults.Hit(faults.RemoteSweepsUnseen) {
		x = o.stored
	}
	o.mu.Unlock()
	if x == nil {
		return 0, fmt.Errorf("sweep timeline %s: its index is not stored yet: %w", o.id, env.ErrUnavailable)
	}
	named := make(map[string]bool, len(x.Layers))
	for _, l := range x.Layers {
		named[objectName(o.id, l)] = true
	}
	at := prefix(o.id) + "layers/"
	var left []string
	err := list(ctx, o.e, at, func(rest string) error {
		gen, ok := generationOf(rest)
		if faults.On && faults.Hit(faults.RemoteSweepsOwn) {
			gen = 0
		}
		if ok && gen < o.gen && !named[at+rest] {
			left = append(left, at+rest)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i, key := range left {
		if err := o.delete(ctx, key); err != nil {
			return i, err
		}
	}
	return len(left), nil
}

// generationOf reads the generation in a layer object's name, which ends in
// -<generation>-<upload>. What is named otherwise is somebody else's.
func generationOf(name string) (core.Generation, bool) {
	parts := strings.Split(name, "-")
	if len(parts) < 3 {
		return 0, false
	}
	digits := parts[len(parts)-2]
	n, err := strconv.ParseUint(digits, 16, 32)
	return core.Generation(n), err == nil && len(digits) == 8
}
