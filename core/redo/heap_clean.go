package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// Flags of the records that clean heap pages
// (src/include/access/heapam_xlog.h).
const (
	freezeXvac  = 0x02 // XLH_FREEZE_XVAC
	invalidXvac = 0x04 // XLH_INVALID_XVAC
	freezeSize  = 12   // xl_heap_freeze_tuple, xl_heap_freeze_plan, xlhp_freeze_plan with their padding
	frozenXID   = 2    // FrozenTransactionId

	// Of 17 and later: XLHP_CLEANUP_LOCK and the parts that a record has.
	cleanupLock  = 0x04
	hasFreeze    = 0x10
	hasRedirects = 0x20
	hasDead      = 0x40
	hasUnused    = 0x80
)

// redoClean prunes a heap page, frees dead line pointers, freezes tuples: one
// record for each until 16, any of them in one record since 17.
func (a *Applier) redoClean(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	if rec.Major() >= 17 {
		return a.redoPruneFreeze(p, blk, c)
	}
	switch rec.Info & heap2OpMask {
	case heap2Prune:
		return a.redoPrune(p, rec, blk, c)
	case heap2Vacuum:
		return redoVacuum(p, blk, c)
	}
	if rec.Major() == 16 {
		return redoFreezePlans(p, blk, c)
	}
	return redoFreezeTuples(p, blk, c)
}

// redoPrune cuts HOT chains: the block's data lists redirects, then the dead,
// then the unused line pointers.
func (a *Applier) redoPrune(p *Page, rec *wal.Record, blk *wal.Block, c cursor) bool {
	_, redirects, dead := c.u32(), int(c.u16()), int(c.u16())
	d := cursor{b: blk.Data}
	cut := cutChains{redirects: d.take(4 * redirects), dead: d.take(2 * dead), unused: d.b}
	if c.bad || d.bad || !cut.apply(p) {
		return false
	}
	if faults.On && faults.Hit(faults.RedoNoCompaction) {
		return true
	}
	return a.repairFragmentation(p, rec.Major() >= 15)
}

// redoPruneFreeze does all that 17 has in one record: first the line pointers,
// then freezing. Freezing is listed in plans, each for some of the offset
// numbers at the end of the block's data.
func (a *Applier) redoPruneFreeze(p *Page, blk *wal.Block, c cursor) bool {
	_, flags := c.u8(), c.u8()
	d := cursor{b: blk.Data}
	var plans []byte
	if flags&hasFreeze != 0 {
		count, _ := int(d.u16()), d.u16()
		plans = d.take(freezeSize * count)
	}
	list := func(has uint8, size int) []byte {
		if flags&has == 0 {
			return nil
		}
		return d.take(size * int(d.u16()))
	}
	cut := cutChains{redirects: list(hasRedirects, 4), dead: list(hasDead, 2), unused: list(hasUnused, 2)}
	if c.bad || d.bad || !cut.apply(p) {
		return false
	}
	switch {
	case flags&(hasRedirects|hasDead|hasUnused) == 0:
	case flags&cleanupLock == 0:
		// Without the lock nothing may move: only dead line pointers became unused.
		if !faults.On || !faults.Hit(faults.RedoKeepLinePointers) {
			truncateLinePointers(p)
		}
	case faults.On && faults.Hit(faults.RedoNoCompaction):
	default:
		if !a.repairFragmentation(p, true) {
			return false
		}
	}
	return freezeByPlans(p, plans, d)
}

// cutChains are lists of u16 offset numbers of a heap page; redirects are
// pairs (from, to).
type cutChains struct{ redirects, dead, unused []byte }

func (l *cutChains) apply(p *Page) bool {
	lines := maxOffset(p)
	for b := l.redirects; len(b) >= 4; b = b[4:] {
		from, to := int(u16(b, 0)), int(u16(b, 2))
		if from < 1 || from > lines || to < 1 || to > lines {
			return false
		}
		setRedirect(p, from, to)
	}
	for b := l.dead; len(b) >= 2; b = b[2:] {
		n := int(u16(b, 0))
		if n < 1 || n > lines {
			return false
		}
		setDead(p, n)
	}
	return setAllUnused(p, l.unused)
}

// setAllUnused frees the line pointers that list names.
func setAllUnused(p *Page, list []byte) bool {
	for i := 0; i+2 <= len(list); i += 2 {
		n := int(u16(list, i))
		if n < 1 || n > maxOffset(p) {
			return false
		}
		setUnused(p, n)
	}
	return true
}

func redoVacuum(p *Page, blk *wal.Block, c cursor) bool {
	count := int(c.u16())
	if c.bad || 2*count > len(blk.Data) || !setAllUnused(p, blk.Data[:2*count]) {
		return false
	}
	if faults.On && faults.Hit(faults.RedoKeepLinePointers) {
		return true
	}
	truncateLinePointers(p)
	return true
}

// redoFreezeTuples is FREEZE_PAGE until 15: an entry for each tuple.
func redoFreezeTuples(p *Page, blk *wal.Block, c cursor) bool {
	_, count := c.u32(), int(c.u16())
	d := cursor{b: blk.Data}
	for ; count > 0; count-- {
		e := cursor{b: d.take(freezeSize)}
		f := freezing{xmax: e.u32()}
		n := int(e.u16())
		f.mask2, f.mask, f.flags = e.u16(), e.u16(), e.u8()
		if d.bad || !f.apply(p, n) {
			return false
		}
	}
	return !c.bad
}

// redoFreezePlans is FREEZE_PAGE of 16.
func redoFreezePlans(p *Page, blk *wal.Block, c cursor) bool {
	_, count := c.u32(), int(c.u16())
	d := cursor{b: blk.Data}
	plans := d.take(freezeSize * count)
	return !c.bad && !d.bad && freezeByPlans(p, plans, d)
}

// freezeByPlans freezes tuples that turn out alike together; d has the offset
// numbers, those of the first plan first.
func freezeByPlans(p *Page, plans []byte, d cursor) bool {
	first := plans
	for ; len(plans) >= freezeSize; plans = plans[freezeSize:] {
		as := plans
		if faults.On && faults.Hit(faults.RedoFreezePlans) {
			as = first
		}
		f := freezing{xmax: u32(as, 0), mask2: u16(as, 4), mask: u16(as, 6), flags: as[8]}
		for count := u16(plans, 10); count > 0; count-- {
			if n := int(d.u16()); d.bad || !f.apply(p, n) {
				return false
			}
		}
	}
	return true
}

// A freezing is what a tuple's header becomes.
type freezing struct {
	xmax        uint32
	mask2, mask uint16
	flags       uint8
}

func (f *freezing) apply(p *Page, n int) bool {
	t, ok := heapTuple(p, n)
	if !ok {
		return false
	}
	t.setXmax(f.xmax)
	if f.flags&freezeXvac != 0 {
		put32(t, tCID, frozenXID)
	}
	if f.flags&invalidXvac != 0 {
		put32(t, tCID, 0)
	}
	t.setMask(f.mask)
	t.setMask2(f.mask2)
	if faults.On && faults.Hit(faults.RedoFreezeMask) {
		t.setMask(f.mask &^ 0x0200)
	}
	return true
}
