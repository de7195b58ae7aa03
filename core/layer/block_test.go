package layer

import (
	"testing"

	"xenon/core"
)

// FuzzBlocks goes behind the checksums: whatever an unpacked block holds, it
// is refused or every lookup in it stays inside.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, int64(1000))
	f.Add(append([]byte{1, 0, 0, 0}, make([]byte, dirEntry)...), int64(1000))
	one := append([]byte{1, 0, 0, 0}, make([]byte, indexEntry)...)
	handle{headerSize, 10, 10}.put(one[4+core.KeySize:])
	f.Add(one, int64(1000))
	f.Fuzz(func(t *testing.T, raw []byte, limit int64) {
		if len(raw) < 4 {
			return // no handle says so
		}
		if b, err := parseBlock("fuzz", 128, raw); err == nil {
			size := 0
			for i := range b.n {
				if v, ok := b.get(core.Key(b.key(i))); !ok || len(v) != len(b.value(i)) {
					t.Errorf("value %d of %d is not found by its key", i, b.n)
				}
				size += len(b.value(i))
			}
			if size != len(raw)-4-b.n*dirEntry {
				t.Errorf("%d bytes of values in a block of %d", size, len(raw))
			}
		}
		if x, err := parseIndex("fuzz", 128, raw, limit); err == nil {
			for i := range x.n {
				if h := x.handle(i); h.off < headerSize || h.end() > limit || x.seek(core.Key(x.key(i))) != i {
					t.Errorf("entry %d of %d leads to %+v, the limit is %d", i, x.n, h, limit)
				}
			}
		}
	})
}
