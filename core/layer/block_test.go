package layer

import (
	"testing"

	"xenon/core"
)

// FuzzBlocks goes behind the checksums: whatever an unpacked block holds, it
// is refused or every lookup in it stays inside.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, int64(1000), false)
	for _, delta := range []bool{false, true} {
		width := identity{Extent: Extent{Delta: delta}}.width()
		f.Add(append([]byte{1, 0, 0, 0}, make([]byte, width+dirEnd)...), int64(1000), delta)
		one := append([]byte{1, 0, 0, 0}, make([]byte, width+handleSize)...)
		handle{headerSize, 10, 10}.put(one[4+width:])
		f.Add(one, int64(1000), delta)
	}
	f.Fuzz(func(t *testing.T, raw []byte, limit int64, delta bool) {
		if len(raw) < 4 {
			return // no handle says so
		}
		width := identity{Extent: Extent{Delta: delta}}.width()
		if b, err := parseBlock("fuzz", 128, raw, width); err == nil {
			size := 0
			for i := range b.n {
				if v, ok := b.get(b.key(i)); !ok || len(v) != len(b.value(i)) || b.last(b.key(i)) != i {
					t.Errorf("value %d of %d is not found by its key", i, b.n)
				}
				size += len(b.value(i))
			}
			if size != len(raw)-4-b.n*(width+dirEnd) {
				t.Errorf("%d bytes of values in a block of %d", size, len(raw))
			}
		}
		if x, err := parseIndex("fuzz", 128, raw, width, limit); err == nil {
			for i := range x.n {
				if h := x.handle(i); h.off < headerSize || h.end() > limit || x.seek(x.key(i)) != i {
					t.Errorf("entry %d of %d leads to %+v, the limit is %d", i, x.n, h, limit)
				}
			}
		}
	})
}

// FuzzValue reads any bytes as a value of a delta layer: what is taken is
// written again as the same bytes.
func FuzzValue(f *testing.F) {
	f.Add([]byte{byte(KindGone)})
	f.Add(appendValue(nil, Value{KindRecordInit, 0x1000, []byte("record")}))
	f.Add(appendValue(nil, Value{KindPatch, 0, []byte("patch")}))
	f.Add(appendShared(nil, KindRecord, core.ControlFileKey()))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, shared, err := parseValue(b)
		if err != nil {
			return
		}
		again := appendValue(nil, v)
		if shared {
			again = appendShared(nil, v.Kind, core.Key(v.Data))
		}
		if string(again) != string(b) {
			t.Errorf("% X was read as %+v, which is % X", b, v, again)
		}
	})
}
