package redo

import (
	"testing"

	"xenon/core/wal"
)

// TestOtherIndexMasks: what a mask hides, and what it must not.
func TestOtherIndexMasks(t *testing.T) {
	bucket := hashPageOf(t, hashBucket, 3)
	unused := hashPageOf(t, hashUnused, 3)
	bitmap := new(Page)
	initHashBitmap(bitmap, 4096)
	leafs := spgPageOf(t, spgLeaf, spgLeafTuple('a', 0), spgLeafTuple('b', 0))
	oldMeta := spgPageOf(t, 1)
	setLower(oldMeta, 0) // from before the header told where the hole is
	regular, revmap := brinPage(t, brinTypeRegular, "one"), brinPage(t, brinTypeRevmap)
	opaque := func(off int) func(*Page) { return func(p *Page) { p[special(p)+off] ^= 1 } }
	at := func(off int) func(*Page) { return func(p *Page) { p[off] ^= 1 } }
	dead := func(p *Page) { setItem(p, 1, makeItem(itemAt(p, 1).off(), lpDead, itemAt(p, 1).len())) }
	tests := []struct {
		name   string
		id     wal.RmgrID
		page   *Page
		change func(*Page)
		hidden bool
	}{
		{"hash: a tuple found dead", wal.RmgrHash, bucket, dead, true},
		{"hash: the flag that there are such", wal.RmgrHash, bucket, func(p *Page) { p[special(p)+hashFlags] ^= hashHasDead }, true},
		{"hash: a page's state in a split", wal.RmgrHash, bucket, func(p *Page) { p[special(p)+hashFlags] ^= 0x40 }, false},
		{"hash: a link", wal.RmgrHash, bucket, opaque(hashNext), false},
		{"hash: a tuple", wal.RmgrHash, bucket, at(8170), false},
		{"hash: what is on a page that is free", wal.RmgrHash, unused, at(8170), true},
		{"hash: a bit of a bitmap", wal.RmgrHash, bitmap, at(1000), false},
		{"SP-GiST: the hole", wal.RmgrSPGist, leafs, at(4000), true},
		{"SP-GiST: an old meta page", wal.RmgrSPGist, oldMeta, at(4000), false},
		{"SP-GiST: a counter", wal.RmgrSPGist, leafs, opaque(spgPlaceholders), false},
		{"SP-GiST: a dead line pointer", wal.RmgrSPGist, leafs, dead, false},
		{"BRIN: the hole of a regular page", wal.RmgrBrin, regular, at(4000), true},
		{"BRIN: a slot of the revmap", wal.RmgrBrin, revmap, at(4000), false},
		{"BRIN: the hint that a page is to be emptied", wal.RmgrBrin, regular, opaque(brinFlags), true},
		{"BRIN: a page's type", wal.RmgrBrin, regular, opaque(brinType), false},
		{"generic: the hole", wal.RmgrGeneric, regular, at(4000), true},
		{"generic: flags of the header", wal.RmgrGeneric, regular, at(pdFlags), false},
		{"LSN", wal.RmgrHash, bucket, at(3), true},
		{"checksum", wal.RmgrBrin, revmap, at(8), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x, y := *test.page, *test.page
			test.change(&y)
			Mask(&x, test.id, 3)
			Mask(&y, test.id, 3)
			if (x == y) != test.hidden {
				t.Errorf("hidden %v, want %v", x == y, test.hidden)
			}
		})
	}
}
