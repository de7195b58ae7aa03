package pageserver

import (
	"testing"

	"xenon/core"
)

func TestImageCounts(t *testing.T) {
	c := newImageCounts()
	key := func(node core.OID, blk uint32) core.Key {
		return core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: node}, blk)
	}
	c.begin()
	for blk := range uint32(600) {
		c.note(key(1, blk), int(blk))
	}
	if _, ok := c.of(key(1, 3)); ok {
		t.Error("a count is known before the flush has ended")
	}
	c.commit()
	for blk := range uint32(600) {
		if n, ok := c.of(key(1, blk)); !ok || n != min(int(blk), 254) {
			t.Errorf("block %d has %d (%v)", blk, n, ok)
		}
	}
	for _, k := range []core.Key{key(1, 600), key(2, 0), core.SLRUBlockKey(core.Clog, 0, 1)} {
		if n, ok := c.of(k); ok {
			t.Errorf("%s has %d", k, n)
		}
	}
	c.begin() // of a flush that fails
	c.note(key(1, 5), 77)
	c.begin()
	c.note(key(1, 6), 0)
	c.commit()
	if n, _ := c.of(key(1, 5)); n != 5 {
		t.Errorf("a flush that failed left %d", n)
	}
	if n, ok := c.of(key(1, 6)); !ok || n != 0 {
		t.Errorf("a page with an image has %d (%v)", n, ok)
	}
	c.begin()
	for node := range core.OID(countRunsMax) {
		c.note(key(node+2, 0), 1)
	}
	c.commit()
	if len(c.known) > countRunsMax {
		t.Errorf("%d runs", len(c.known))
	}
	c.begin()
	counted := 0
	for range 2 * countBudget {
		if c.spend(1) {
			counted++
		}
	}
	if counted != countBudget || !c.spend(countAlways) {
		t.Errorf("%d pages counted, and those with many records %v", counted, c.spend(countAlways))
	}
}
