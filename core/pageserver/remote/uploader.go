package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/xsync"
)

// Bounds of one step of an uploader: what has not come to an end by then is
// given up and tried again, so that the reason shows.
const (
	stepTimeout = 20 * time.Second
	// slowest is the pace, in bytes a second, below which an upload is given up.
	slowest  = 256 << 10
	retryMin = 200 * time.Millisecond
	retryMax = 20 * time.Second
	// batchBytes is how much is uploaded before the index is changed.
	batchBytes = 256 << 20
	batchMost  = 32
)

// A Local is what an owner has on its disk of a timeline. [Uploader] brings it
// to the object store.
type Local interface {
	// AwaitFlush waits until the disk-consistent record is above lsn.
	AwaitFlush(ctx context.Context, lsn core.LSN) error
	// NotUploaded lists layers that are not in the object store, oldest first,
	// and the disk-consistent record that the timeline has with them.
	NotUploaded() ([]LocalLayer, Record)
	// Uploaded notes that layers are in the object store and in the index
	// there, which is x.
	Uploaded(ctx context.Context, layers []LayerEntry, x *Index) error
	// Suspect is told of a layer whose upload failed in a way that may be its
	// file's doing. It returns nil if the file is as it was written; else the
	// upload cannot go on with this layer.
	Suspect(ctx context.Context, l LocalLayer, why error) error
}

// A LocalLayer is a layer file on the owner's disk; it does not change.
type LocalLayer struct {
	LayerEntry        // name, size and CRC; the rest is known once it is uploaded
	Path       string // below the root of Env.FS
	// Ends is what the timeline is consistent up to with this layer and all
	// before it.
	Ends Record
}

// A Progress is how far an uploader is.
type Progress struct {
	Generation core.Generation // 0 before there is one
	// Stored is what the last index is consistent up to that is certainly
	// stored, and will be part of every one to come.
	Stored     core.LSN
	Superseded bool
	// Wait says why nothing goes on, "" if all is well.
	Wait string
}

// An Uploader brings what a timeline flushes to the object store: layers first,
// then the index that names them, then it tells the timeline. It tries for ever,
// until it is superseded, and goes on as the next owner that it is given.
type Uploader struct {
	e        env.Env
	id       core.TTID
	local    Local
	progress *xsync.Watch[Progress]

	mu    sync.Mutex              // leaf
	owner *Owner                  // nil while there is none
	stop  context.CancelCauseFunc // ends the Run as owner

	ready map[string]LayerEntry // uploaded, not known to be in the index; by name
}

// NewUploader makes the uploader of a timeline, which belongs to local. Nothing
// happens before [Uploader.Run].
func NewUploader(e env.Env, id core.TTID, local Local) *Uploader {
	u := &Uploader{e: e, id: id, local: local, ready: map[string]LayerEntry{}}
	u.progress = xsync.NewWatch(e, Progress{Wait: "no generation is minted yet"})
	return u
}

// Progress is how far it is.
func (u *Uploader) Progress() Progress { return u.progress.Get() }

// Owner is the owner that it uploads as, nil before there is one.
func (u *Uploader) Owner() *Owner {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.owner
}

// RemoteConsistent is what may be reported: see [Owner.RemoteConsistent].
func (u *Uploader) RemoteConsistent() core.LSN {
	if o := u.Owner(); o != nil {
		return o.RemoteConsistent()
	}
	return 0
}

// Await waits until all up to lsn is in every index to come. It returns
// [ErrSuperseded] if it never will be by this owner's doing, and when ctx ends
// the error says what is waited for.
func (u *Uploader) Await(ctx context.Context, lsn core.LSN) error {
	p, err := u.progress.Await(ctx, func(p Progress) bool { return p.Stored >= lsn || p.Superseded })
	switch {
	case err != nil && u.Progress().Wait != "":
		return fmt.Errorf("upload of timeline %s up to %s: %w: %s", u.id, lsn, err, u.Progress().Wait)
	case err != nil:
		return fmt.Errorf("upload of timeline %s up to %s: %w", u.id, lsn, err)
	case p.Stored < lsn:
		return fmt.Errorf("upload of timeline %s up to %s: %w: %s", u.id, lsn, ErrSuperseded, p.Wait)
	}
	return nil
}

// Run uploads as o what the timeline flushes, until ctx ends or o is
// superseded. One Run at a time.
func (u *Uploader) Run(ctx context.Context, o *Owner) error {
	ctx, stop := xsync.WithCancel(ctx)
	defer stop(nil)
	u.mu.Lock()
	u.owner, u.stop = o, stop
	u.mu.Unlock()
	clear(u.ready) // what an owner before uploaded is swept, and not this one's to enter
	u.note(nil)
	for pause := retryMin; ; {
		err := u.round(ctx, o)
		if ctx.Err() != nil {
			if err = xsync.Cause(ctx); !errors.Is(err, ErrSuperseded) {
				return err
			}
		}
		u.note(err)
		if errors.Is(err, ErrSuperseded) {
			u.e.Log().Warn("timeline has a newer owner: nothing more is uploaded", slog.String("timeline", u.id.String()), slog.Any("err", err))
			return err
		}
		if err == nil {
			pause = retryMin
			continue
		}
		if pause == retryMin { // once in a row of failures: status has the rest
			u.e.Log().Warn("upload is tried again", slog.String("timeline", u.id.String()), slog.Any("err", err))
		}
		if err := u.e.Clock().Sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, retryMax)
	}
}

// Abandon tells whether the owner is known to be superseded. Then the Run as it
// ends, which may not know yet: it looks for others only when it has something
// to upload.
func (u *Uploader) Abandon() bool {
	u.mu.Lock()
	o, stop := u.owner, u.stop
	u.mu.Unlock()
	if o == nil {
		return u.Progress().Superseded
	}
	err := o.Superseded()
	if err != nil {
		stop(err)
	}
	return err != nil
}

// Waits notes why there is no owner, between two of them or before the first.
func (u *Uploader) Waits(err error) {
	u.mu.Lock()
	u.owner = nil
	u.mu.Unlock()
	u.progress.Update(func(p Progress) Progress {
		p.Wait, p.Superseded = err.Error(), errors.Is(err, ErrSuperseded)
		return p
	})
}

// note publishes what a round came to.
func (u *Uploader) note(err error) {
	o := u.Owner()
	stored, newer := o.RemoteConsistent(), o.Superseded()
	u.progress.Update(func(p Progress) Progress {
		p.Generation, p.Superseded, p.Wait = o.Generation(), newer != nil, ""
		if newer != nil {
			p.Wait = newer.Error()
		} else if p.Stored = stored; err != nil {
			p.Wait = err.Error()
		}
		return p
	})
}

// round waits for something to upload and does it.
func (u *Uploader) round(ctx context.Context, o *Owner) error {
	layers, disk := u.local.NotUploaded()
	x := o.Index()
	if len(layers) == 0 && disk.LSN <= x.DiskConsistent.LSN && o.RemoteConsistent() == x.DiskConsistent.LSN {
		return u.local.AwaitFlush(ctx, disk.LSN)
	}
	batch, ends := nextBatch(x, layers, disk)
	var entries []LayerEntry
	for _, l := range batch {
		e, err := u.upload(ctx, o, x, l)
		if err != nil && ctx.Err() == nil && filed(err) {
			err = errors.Join(err, u.local.Suspect(ctx, l, err))
		}
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	step, cancel := xsync.WithTimeout(ctx, u.e, stepTimeout)
	defer cancel()
	if err := o.Change(step, func(x *Index) error { enter(x, entries, ends); return nil }); err != nil {
		return err
	}
	if err := u.local.Uploaded(ctx, entries, o.Index()); err != nil {
		return err
	}
	clear(u.ready)
	return nil
}

// nextBatch chooses what is uploaded next, in order, and what the index is
// consistent up to with it.
func nextBatch(x *Index, layers []LocalLayer, disk Record) (batch []LocalLayer, ends Record) {
	size := int64(0)
	for i, l := range layers {
		if i == batchMost || size >= batchBytes {
			return batch, ends
		}
		batch, ends, size = append(batch, l), l.Ends, size+l.Size
	}
	// The record goes beyond the last layer where there was nothing to store.
	if ends.LSN < disk.LSN {
		ends = disk
	}
	if ends.LSN < x.DiskConsistent.LSN {
		ends = x.DiskConsistent
	}
	return batch, ends
}

// enter puts layers that are stored into an index that may have them already.
func enter(x *Index, entries []LayerEntry, ends Record) {
	for _, e := range entries {
		if !slices.Contains(x.Layers, e) {
			x.Layers = append(x.Layers, e)
		}
	}
	if x.DiskConsistent.LSN < ends.LSN {
		x.DiskConsistent = ends
	}
}

// upload stores a layer, unless it is stored already: by a round before, whose
// index may or may not have got through, or by the incarnation before.
func (u *Uploader) upload(ctx context.Context, o *Owner, x *Index, l LocalLayer) (LayerEntry, error) {
	if i := slices.IndexFunc(x.Layers, func(e LayerEntry) bool { return e.Name == l.Name }); i >= 0 {
		return x.Layers[i], nil
	}
	if e, ok := u.ready[l.Name]; ok {
		return e, nil
	}
	extent, err := layer.ParseExtent(l.Name)
	if err != nil {
		return LayerEntry{}, err
	}
	step, cancel := xsync.WithTimeout(ctx, u.e, stepTimeout+time.Duration(l.Size/slowest)*time.Second)
	defer cancel()
	e, err := o.Upload(step, extent, fileBody{u.e.FS(), l.Path, l.Size})
	if err != nil {
		return LayerEntry{}, err
	}
	if e.CRC != l.CRC {
		return LayerEntry{}, fmt.Errorf("layer file %s has checksum %08X, it was written with %08X: the disk damaged it: %w", l.Path, e.CRC, l.CRC, env.ErrCorrupt)
	}
	u.ready[l.Name] = e
	return e, nil
}

// filed tells whether the file of a layer may be why its upload failed.
func filed(err error) bool {
	return errors.Is(err, env.ErrCorrupt) || errors.Is(err, env.ErrIO) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF)
}

// A fileBody is a file to be put.
type fileBody struct {
	fs   env.FS
	path string
	size int64
}

func (b fileBody) Size() int64 { return b.size }

func (b fileBody) Open() (io.ReadCloser, error) {
	f, err := b.fs.Open(b.path, 0)
	if err != nil {
		return nil, err
	}
	return &fileReader{io.NewSectionReader(f, 0, b.size), f}, nil
}

type fileReader struct {
	*io.SectionReader
	f env.File
}

func (r *fileReader) Close() error { return r.f.Close() }
