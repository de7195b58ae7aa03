package safekeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper/archive"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
)

// A kept is what the control file holds beside what consensus needs.
type kept struct {
	// partials are the partial segments of this safekeeper that may be in the
	// object store. An entry is there before the object is; so none is forgotten.
	partials []partial
	// evicted tells that the WAL of the last segment is in the object store
	// alone, in the one partial segment that is stored; what the disk has is
	// nothing, or left over.
	evicted bool
}

// A partial is one upload of a partial segment.
type partial struct {
	Status   partialStatus `json:"status"`
	Segment  uint64        `json:"segment"`
	LastTerm core.Term     `json:"last_log_term"`
	Flush    core.LSN      `json:"flush_lsn"`
	Commit   core.LSN      `json:"commit_lsn"`
	Nonce    uint32        `json:"nonce"`
}

// A partialStatus is how far an upload has come: Neon's names.
type partialStatus string

const (
	inProgress partialStatus = "InProgress" // it may be there, whole
	uploaded   partialStatus = "Uploaded"   // it is there; one at most is
	deleting   partialStatus = "Deleting"   // it may be there and is not needed
)

func (p partial) named(node core.NodeID) archive.Partial {
	return archive.Partial{Segment: p.Segment, LastTerm: p.LastTerm, Flush: p.Flush, Commit: p.Commit, Node: node, Nonce: p.Nonce}
}

func (k *kept) check() error {
	n := 0
	for _, p := range k.partials {
		switch p.Status {
		case uploaded:
			n++
		case inProgress, deleting:
		default:
			return fmt.Errorf("a partial segment with the status %q: %w", p.Status, env.ErrCorrupt)
		}
	}
	if n > 1 {
		return fmt.Errorf("%d partial segments are stored, want one at most: %w", n, env.ErrCorrupt)
	}
	return nil
}

// stored is the partial segment to go by, if there is one.
func (k *kept) stored() (p partial, ok bool) {
	for _, p := range k.partials {
		if p.Status == uploaded {
			return p, true
		}
	}
	return partial{}, false
}

// begin adds an upload. What others have left under way, ended by a crash or an
// error, may be there and is not needed.
func (k *kept) begin(p partial) {
	for i := range k.partials {
		if k.partials[i].Status == inProgress {
			k.partials[i].Status = deleting
		}
	}
	k.partials = append(k.partials, p)
}

// finish makes the upload that began last the one to go by.
func (k *kept) finish() {
	for i := range k.partials {
		if k.partials[i].Status == uploaded {
			k.partials[i].Status = deleting
		}
	}
	k.partials[len(k.partials)-1].Status = uploaded
}

// quiet is since when nothing has happened.
type quiet struct {
	at    Position
	since env.Instant
}

// rest stores what does not fill a segment, when that is due, and lets the
// timeline leave the disk once nobody has used it for long.
func (t *Timeline) rest(ctx context.Context) error {
	now, at := t.node.e.Clock().Mono(), t.pos.Get()
	q := &t.store.quiet
	if t.attended() || q.at != at || q.since == 0 {
		*q = quiet{at, now}
	}
	idle := now.Sub(q.since) >= t.node.cfg.idleTime()
	unstored := faults.On && faults.Hit(faults.EvictUnstored)
	if (idle || now.Sub(t.store.lastPut) >= t.node.cfg.partialTime()) && !unstored {
		p, ok, err := t.nextPartial()
		if err == nil && ok {
			err = t.storePartial(ctx, p)
		}
		if err == nil {
			err = t.sweepPartials(ctx)
		}
		if err != nil {
			return err
		}
	}
	if idle {
		return t.evict()
	}
	return nil
}

// nextPartial is the partial segment to be stored, if the one that is stored is
// not the same. Everything in it is committed: such bytes never change.
func (t *Timeline) nextPartial() (p partial, ok bool, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		c, size := a.Control(), t.segs.size
		p = partial{inProgress, c.Commit.Segment(size), a.Position().Term, a.FlushLSN(), c.Commit, t.nonce()}
		old, is := t.kept.stored()
		ok = !t.kept.evicted && p.Flush == p.Commit && p.Flush.SegmentOffset(size) > 0 &&
			a.BackupLSN().Segment(size) == p.Segment && !(is && old.Flush == p.Flush)
		return nil
	})
	return p, ok, err
}

// nonce makes the name of an upload one of its own.
func (t *Timeline) nonce() uint32 {
	if faults.On && faults.Hit(faults.PartialNameReused) {
		return 0
	}
	var b [4]byte
	if _, err := io.ReadFull(t.node.e.Entropy(), b[:]); err != nil {
		core.Must(false, "no entropy: %v", err)
	}
	return binary.LittleEndian.Uint32(b[:])
}

// storePartial stores one partial segment: the intent goes into the control file
// first, so that what an upload of unknown outcome leaves is known to be there.
func (t *Timeline) storePartial(ctx context.Context, p partial) error {
	name := p.named(t.node.cfg.NodeID)
	if err := t.keep(func(k *kept) { k.begin(p) }); err != nil {
		return err
	}
	t.store.lastPut = t.node.e.Clock().Mono()
	body, err := t.survey(core.SegmentStart(p.Segment, t.segs.size), p.Flush)
	if err == nil {
		err = archive.PutPartial(ctx, t.node.store, name.Key(t.id, t.segs.size), body)
	}
	if err != nil {
		return fmt.Errorf("store partial WAL segment %s: %w", name.Name(t.segs.size), err)
	}
	return t.keep((*kept).finish)
}

// keep changes what is kept in the control file, durably.
func (t *Timeline) keep(edit func(*kept)) error {
	return t.step(func(a *consensus.Acceptor) error {
		k := kept{slices.Clone(t.kept.partials), t.kept.evicted}
		edit(&k)
		t.kept = k
		c := a.Control()
		if err := t.persist(&c); err != nil {
			return t.fail(err)
		}
		a.Saved(c)
		return nil
	})
}

// sweepPartials deletes the partial segments that are not needed any more, and
// then forgets them. The one that is stored is never among them, nor any of
// another safekeeper.
func (t *Timeline) sweepPartials(ctx context.Context) error {
	if err := t.passPartial(); err != nil {
		return err
	}
	k := t.keeping()
	spared, _ := k.stored()
	var gone []partial
	for _, p := range k.partials {
		name := p.named(t.node.cfg.NodeID)
		same := name == spared.named(t.node.cfg.NodeID) && !(faults.On && faults.Hit(faults.PartialNameReused))
		if p.Status != deleting || same {
			continue
		}
		if err := t.node.store.Delete(ctx, name.Key(t.id, t.segs.size)); err != nil {
			return fmt.Errorf("delete partial WAL segment %s: %w", name.Name(t.segs.size), err)
		}
		gone = append(gone, p)
	}
	if len(gone) == 0 {
		return nil
	}
	return t.keep(func(k *kept) {
		k.partials = slices.DeleteFunc(k.partials, func(p partial) bool { return slices.Contains(gone, p) })
	})
}

// passPartial gives up the partial segment that is stored once the whole one is.
func (t *Timeline) passPartial() error {
	k := t.keeping()
	p, ok := k.stored()
	if !ok || k.evicted || core.SegmentStart(p.Segment+1, t.segs.size) > t.control().Backup {
		return nil
	}
	return t.keep(func(k *kept) {
		for i := range k.partials {
			if k.partials[i].Status == uploaded {
				k.partials[i].Status = deleting
			}
		}
	})
}

// keeping is a copy of what is kept.
func (t *Timeline) keeping() (k kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return kept{slices.Clone(t.kept.partials), t.kept.evicted}
}

// evict takes the timeline off the disk if all of its WAL is stored and nobody
// wants any: the control file stays.
func (t *Timeline) evict() error {
	return t.step(func(a *consensus.Acceptor) error {
		if !t.mayLeave(a) {
			return nil
		}
		if err := t.segs.close(); err != nil {
			return t.fail(err)
		}
		t.kept.evicted = true
		c := a.Control()
		if err := t.persist(&c); err != nil {
			return t.fail(err)
		}
		a.Saved(c)
		t.node.e.Trace().Note("safekeeper.evict", t.id.Timeline.Tag(), uint64(a.FlushLSN()), 1, 0)
		var err error
		t.counted(func() { err = t.segs.removeAll() })
		if err != nil {
			return t.fail(fmt.Errorf("remove WAL: %w", err))
		}
		t.node.e.Log().Info("idle timeline left the disk", "timeline", t.id.String(), "flush", a.FlushLSN().String())
		return nil
	})
}

// mayLeave tells whether the timeline may leave the disk now: no more than one
// segment is here, and that is committed, stored as a partial one, and needed by
// nobody.
func (t *Timeline) mayLeave(a *consensus.Acceptor) bool {
	c, size := a.Control(), t.segs.size
	if _, dirty := a.Unflushed(); dirty || t.kept.evicted || t.segs.making || t.attended() {
		return false
	}
	end := a.FlushLSN()
	off := end.SegmentOffset(size)
	if end != c.Commit || end > c.RemoteConsistent || end > t.heldFrom() || c.LocalStart.Segment(size) != end.Segment(size) || t.reading(end) {
		return false
	}
	if faults.On && faults.Hit(faults.EvictUnstored) {
		return true
	}
	p, ok := t.kept.stored()
	return off == 0 || ok && p.Flush == end
}

// reading tells whether a reader is still to get WAL below lsn.
func (t *Timeline) reading(lsn core.LSN) bool {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	for _, s := range t.status.senders { //simsafe:allow whether there is one
		if s.sent < lsn {
			return true
		}
	}
	return false
}

// errAway reports a timeline that has left the disk.
var errAway = errors.New("its WAL has left the disk and is on its way back")

func (t *Timeline) away() error {
	return fmt.Errorf("timeline %s on safekeeper %d: %w", t.id, t.node.cfg.NodeID, errAway)
}

// bring makes sure that the WAL is on the disk, and waits for it if it has to
// come back from the object store. Whoever calls it keeps the timeline from
// leaving again: as a receiver, or as a reader of WAL below the end.
func (t *Timeline) bring(ctx context.Context) error {
	if !t.isEvicted() {
		return nil
	}
	if err := t.bringing.LockCtx(ctx); err != nil {
		return err
	}
	defer t.bringing.Unlock()
	if !t.isEvicted() {
		return nil
	}
	var p partial
	var at core.LSN
	if err := t.step(func(a *consensus.Acceptor) error {
		p, _ = t.kept.stored()
		at = a.FlushLSN()
		return nil
	}); err != nil {
		return err
	}
	began := t.node.e.Clock().Mono()
	if at.SegmentOffset(t.segs.size) > 0 {
		if err := t.fetch(ctx, p); err != nil {
			return fmt.Errorf("timeline %s comes back to safekeeper %d: %w", t.id, t.node.cfg.NodeID, err)
		}
	}
	if err := t.settle(p, at); err != nil {
		return err
	}
	t.node.e.Log().Info("timeline is back on the disk", "timeline", t.id.String(), "took", t.node.e.Clock().Mono().Sub(began).Round(time.Millisecond).String())
	return nil
}

func (t *Timeline) isEvicted() bool {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	return t.status.evicted
}

// returnTemp is a segment that comes back, while it does.
const returnTemp = "return.tmp"

// fetch makes a segment of a partial one, whole and durable but for its name.
func (t *Timeline) fetch(ctx context.Context, p partial) (err error) {
	s := &t.segs
	f, err := s.disk.Open(s.path(returnTemp), env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Allocate(0, int64(s.size)); err != nil {
		return err
	}
	begin, end := core.SegmentStart(p.Segment, s.size), p.Flush
	if faults.On && faults.Hit(faults.ReturnShort) {
		end = (end - 1) &^ (core.WALPageSize - 1)
	}
	err = archive.ReadPartial(ctx, t.node.store, t.id, p.named(t.node.cfg.NodeID), s.size, func(at core.LSN, b []byte) error {
		b = b[:min(core.LSN(len(b)), end-min(end, at))]
		_, err := f.WriteAt(b, int64(at-begin))
		return err
	})
	if err != nil {
		return err
	}
	return fill(f, int64(end-begin), int64(s.size))
}

// settle puts the timeline back on the disk: first the WAL, then the word that
// it is there.
func (t *Timeline) settle(p partial, at core.LSN) error {
	return t.step(func(a *consensus.Acceptor) error {
		if !t.kept.evicted {
			return nil
		}
		s := &t.segs
		var err error
		if at.SegmentOffset(s.size) > 0 {
			t.counted(func() {
				if err = s.disk.Rename(s.path(returnTemp), s.partial(p.Segment)); err == nil {
					s.count++
					err = s.disk.SyncDir(s.dir)
				}
			})
		}
		if err != nil {
			return t.fail(err)
		}
		t.kept.evicted = false
		c := a.Control()
		if err := t.persist(&c); err != nil {
			return t.fail(err)
		}
		a.Saved(c)
		s.bare, s.blank = 0, false
		t.node.e.Trace().Note("safekeeper.evict", t.id.Timeline.Tag(), uint64(at), 0, 0)
		if err := t.locate(at, at); err != nil {
			return t.fail(err)
		}
		return nil
	})
}
