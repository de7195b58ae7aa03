package pageserver

import (
	"context"
	"fmt"
	"hash/crc32"
	"log/slog"
	"path"
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
	"xenon/core/redo"
)

// A frozenLayer is an open layer to which nothing is added any more, with what
// changed of the state. It is read like the open one until a delta layer has
// taken its place.
type frozenLayer struct {
	*openLayer
	changes changes
	end     Record      // the last record in it
	written *deltaLayer // its layer file, once that is there and durable
}

// Flush stores all that was ingested before the call: it freezes the open
// layer and returns when the disk-consistent record is there.
func (t *Timeline) Flush(ctx context.Context) error {
	t.mu.Lock()
	target := t.applied.LSN
	t.mu.Unlock()
	for {
		done, err := t.flushTo(ctx, target)
		if done || err != nil {
			return err
		}
	}
}

// flushTo flushes one layer if the disk-consistent record is below target.
func (t *Timeline) flushTo(ctx context.Context, target core.LSN) (done bool, err error) {
	if err := t.running.LockCtx(ctx); err != nil {
		return false, err
	}
	defer t.running.Unlock()
	f := t.freeze(target)
	if f == nil {
		return true, nil
	}
	err = t.store(ctx, f)
	t.status.Lock()
	if t.failed = ""; err != nil {
		t.failed = "the flush of a layer is tried again: " + err.Error()
	}
	t.status.Unlock()
	return false, err
}

// freeze is what has to be flushed next to get to target, nil if nothing has.
// After a flush that failed it is the same layer again.
func (t *Timeline) freeze(target core.LSN) *frozenLayer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frozen != nil || t.disk.LSN >= target {
		return t.frozen
	}
	t.frozen = &frozenLayer{openLayer: t.open, end: t.applied}
	t.frozen.changes = t.state.freeze(t.disk.LSN, t.applied.LSN, *t.hints.Load())
	t.open = new(openLayer)
	return t.frozen
}

// store makes a frozen layer durable and puts it in the place of the memory.
func (t *Timeline) store(ctx context.Context, f *frozenLayer) error {
	if f.written == nil {
		if err := t.writeLayer(ctx, f); err != nil {
			return err
		}
	}
	if err := t.manifest.LockCtx(ctx); err != nil {
		return err
	}
	defer t.manifest.Unlock()
	if err := t.writeManifest(f.written, f.end); err != nil {
		return err
	}
	t.env.Trace().Note("pageserver.disk", t.id.Timeline.Tag(), uint64(f.end.LSN), 0, 0)
	t.mu.Lock()
	if f.written != nil {
		err := t.layers.push(f.written)
		core.Must(err == nil, "timeline %s: %v", t.id, err)
	}
	t.state.stored(&f.changes, t.index.LSN)
	t.disk, t.frozen, t.kept = f.end, nil, nil
	more := t.applied != t.disk
	t.mu.Unlock()
	t.records.commit()
	t.memory.give(f.counted)
	t.flushed.Set(f.end)
	if more {
		t.began()
	}
	return nil
}

// writeLayer writes the layer file of a frozen layer, if there is anything in
// it, and makes it durable before a manifest may name it.
func (t *Timeline) writeLayer(ctx context.Context, f *frozenLayer) error {
	w := &layerWriter{t: t, f: f, meta: f.changes.versions()}
	for k := range f.pages { //simsafe:allow the keys are sorted below
		w.pages = append(w.pages, k)
	}
	slices.SortFunc(w.pages, core.Key.Compare)
	keys, ok := w.keys()
	if !ok {
		return nil
	}
	id := layer.DeltaID{TTID: t.id, Shard: core.Unsharded, Keys: keys, LSNs: layer.LSNRange{Start: f.changes.from + 1, End: f.changes.to + 1}}
	name := id.Name()
	at := path.Join(t.dir, name)
	fsys := t.env.FS()
	file, err := fsys.Open(at, env.Write|env.Create|env.Trunc)
	if err != nil {
		return fmt.Errorf("layer %s: %w", at, err)
	}
	sum := &summed{FileWriter: layer.FileWriter{File: file}}
	size, err := w.write(ctx, sum, id)
	if err == nil && !(faults.On && faults.Hit(faults.LayerNotSynced)) {
		err = file.Sync(env.SyncFull)
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil && !(faults.On && faults.Hit(faults.LayerNotSynced)) {
		err = fsys.SyncDir(t.dir)
	}
	if err != nil {
		// What is left takes room, and a full disk may be why.
		fsys.Remove(at)
		return fmt.Errorf("layer %s: %w", at, err)
	}
	f.written, err = t.newDelta(remote.LayerEntry{Name: name, Size: size, CRC: sum.crc}, f.end)
	return err
}

// summed is a layer file and the CRC-32C of what was written to it.
type summed struct {
	layer.FileWriter
	crc uint32
}

func (s *summed) Write(p []byte) (int, error) {
	s.crc = crc32.Update(s.crc, castagnoli, p)
	return s.FileWriter.Write(p)
}

// A layerWriter writes one frozen layer, a few pages at a time.
type layerWriter struct {
	t     *Timeline
	f     *frozenLayer
	pages []core.Key      // of the frozen layer, sorted
	meta  []placedVersion // what is not pages, sorted

	out   *layer.DeltaWriter
	batch []pageOut
	image []redo.Page
	errs  []error
	at    []int // the place in batch of each image
}

// A pageOut is a page that is about to be written.
type pageOut struct {
	key    core.Key
	h      *history
	first  core.Key // of its fork
	blk    uint32
	image  *redo.Page // to be stored in place of the last version; nil if none
	recent int        // versions since the last that needs no older one
	whole  bool       // there is such a one in this layer
	unsure bool       // older layers were not looked at: recent may be too low
}

// writeBatch is how many pages are looked at together.
const writeBatch = 64

// keys is the range of all keys; ok is false if there are none.
func (w *layerWriter) keys() (r layer.KeyRange, ok bool) {
	var first, last []core.Key
	if n := len(w.pages); n > 0 {
		first, last = append(first, w.pages[0]), append(last, w.pages[n-1])
	}
	if n := len(w.meta); n > 0 {
		first, last = append(first, w.meta[0].key), append(last, w.meta[n-1].key)
	}
	if len(first) == 0 {
		return r, false
	}
	r.Start, r.End = slices.MinFunc(first, core.Key.Compare), slices.MaxFunc(last, core.Key.Compare).Next()
	return r, true
}

func (w *layerWriter) write(ctx context.Context, to *summed, id layer.DeltaID) (size int64, err error) {
	if w.out, err = layer.NewDeltaWriter(to, id, true); err != nil {
		return 0, err
	}
	w.t.records.begin()
	for at := 0; at < len(w.pages); at += writeBatch {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := w.writePages(ctx, w.pages[at:min(at+writeBatch, len(w.pages))]); err != nil {
			return 0, err
		}
	}
	for len(w.meta) > 0 {
		if err := w.writeMeta(); err != nil {
			return 0, err
		}
	}
	return w.out.Finish()
}

func (w *layerWriter) writeMeta() error {
	m := w.meta[0]
	w.meta = w.meta[1:]
	return w.out.Add(m.key, m.Version)
}

func (w *layerWriter) writePages(ctx context.Context, keys []core.Key) error {
	w.batch = w.batch[:0]
	for _, k := range keys {
		p := pageOut{key: k, h: w.f.pages[k]}
		p.first, p.blk = firstOf(k)
		p.recent, p.whole = p.h.sinceImage()
		w.batch = append(w.batch, p)
	}
	w.t.images(ctx, w)
	for i := range w.batch {
		p := &w.batch[i]
		for len(w.meta) > 0 && w.meta[0].key.Compare(p.key) < 0 {
			if err := w.writeMeta(); err != nil {
				return err
			}
		}
		if err := w.writePage(p); err != nil {
			return err
		}
	}
	return nil
}

func (w *layerWriter) writePage(p *pageOut) error {
	last := len(p.h.versions) - 1
	for i, v := range p.h.versions {
		out := layer.Version{LSN: v.lsn, Value: w.f.value(v.ref)}
		if i == last && p.image != nil {
			out.Value = layer.Value{Kind: layer.KindImage, Data: p.image[:]}
		}
		if i == last && last > 0 && faults.On && faults.Hit(faults.FlushDropsLast) {
			break
		}
		if err := w.out.Add(p.key, out); err != nil {
			return err
		}
	}
	return nil
}

// sinceImage counts the versions behind the last that needs no older one; whole
// tells whether there is such a one.
func (h *history) sinceImage() (n int, whole bool) {
	for i := len(h.versions) - 1; i >= 0; i-- {
		if h.versions[i].ref.kind().Init() {
			return n, true
		}
		n++
	}
	return n, false
}

// images gives those pages of a batch an image that need more than imageAfter
// records to be made. A page that cannot be made now gets none: its records
// are there.
func (t *Timeline) images(ctx context.Context, w *layerWriter) {
	t.countBefore(ctx, w)
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	w.at = w.at[:0]
	t.mu.Lock()
	r.begin(t)
	for i := range w.batch {
		p := &w.batch[i]
		if p.recent > imageAfter {
			last := p.h.versions[len(p.h.versions)-1].lsn
			if faults.On && faults.Hit(faults.ImageTooEarly) {
				last--
			}
			r.plan(t.state.forks[p.first], p.first, p.blk, last)
			w.at = append(w.at, i)
		}
	}
	t.mu.Unlock()
	if len(w.at) > 0 {
		w.image, w.errs = sized(w.image, len(w.at)), sized(w.errs, len(w.at))
		r.run(ctx, w.image, w.errs)
	}
	for j, i := range w.at {
		p := &w.batch[i]
		if w.errs[j] != nil {
			t.env.Log().Warn("page gets no image", slog.String("timeline", t.id.String()), slog.Any("err", w.errs[j]))
		} else if r.plans[j].exists {
			p.image, p.recent = &w.image[j], 0
			if faults.On && faults.Hit(faults.ImageOfNeighbour) {
				p.image = &w.image[(j+1)%len(w.at)]
			}
		}
	}
	r.end()
	for i := range w.batch {
		if p := &w.batch[i]; !p.unsure {
			t.records.note(p.key, p.recent)
		}
	}
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
