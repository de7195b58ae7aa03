package redo

import (
	"xenon/core/faults"
	"xenon/core/wal"
)

// redoBtDedup merges runs of tuples with equal keys into posting lists. The
// block's data are the runs: first offset number and how many tuples.
func (a *Applier) redoBtDedup(p *Page, blk *wal.Block, c cursor) bool {
	runs := int(c.u16())
	d := cursor{b: blk.Data}
	o, ok := opaque(p)
	if c.bad || !ok || len(blk.Data) < 4*runs {
		return false
	}
	first := o.firstKey()
	old := &a.scratch
	*old = *p
	resetItems(p)
	if first > btHikey {
		hikey, ok := item(old, btHikey)
		if !ok || !addItem(p, hikey, btHikey) {
			return false
		}
	}
	runAt, runLen := -1, 0
	nextRun := func() {
		if runAt = -1; runs > 0 {
			runAt, runLen = int(d.u16()), int(d.u16())
			runs--
		}
	}
	nextRun()
	for n := first; n <= maxOffset(old); {
		count := 1
		if n == runAt {
			count = runLen
			nextRun()
		}
		if count < 1 || !mergeTuples(p, old, n, count) {
			return false
		}
		n += count
	}
	o.clearFlags(btpHasGarbage)
	return true
}

// mergeTuples adds count tuples of the old page, from n on, as one tuple.
func mergeTuples(p, old *Page, n, count int) bool {
	base, ok := item(old, n)
	if !ok {
		return false
	}
	if count == 1 {
		size, ok := tupleSize(base)
		return ok && addItem(p, base[:size], maxOffset(p)+1)
	}
	keySize, _, ok := postingList(base)
	if !ok {
		return false
	}
	total := 0
	for i := n; i < n+count; i++ {
		t, ok := item(old, i)
		if !ok {
			return false
		}
		_, tids, ok := postingList(t)
		if !ok {
			return false
		}
		total += len(tids) / tidSize
	}
	size := postingSize(keySize, total)
	if total > btCountMask || size > indexSizeMask {
		return false
	}
	dst, ok := reserveItem(p, maxOffset(p)+1, size, false)
	if !ok {
		return false
	}
	to := beginPosting(dst, base, keySize, total)
	merged := to
	for i := n; i < n+count; i++ {
		t, _ := item(old, i)
		_, tids, _ := postingList(t)
		to = to[copy(to, tids):]
	}
	if faults.On && faults.Hit(faults.RedoDedupOrder) {
		merged[4], merged[10] = merged[10], merged[4]
	}
	return true
}
