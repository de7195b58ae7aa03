package pageserver

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/layer"
)

// born makes a fork of the base with blocks.
func born(blocks uint32) *fork {
	f := &fork{first: core.BlockKey(core.Rel{Spc: 1663, DB: 5, Node: 16384}, 0)}
	f.resize(size{100, blocks, fromBase})
	return f
}

func TestLife(t *testing.T) {
	f := born(4)
	f.grow(200, 8)                     // blocks 4 to 7
	f.resize(size{300, 2, fromZeroes}) // truncated to 2
	f.grow(400, 6)                     // blocks 2 to 5 again
	f.drop(500)
	f.grow(600, 1) // another relation with that number

	tests := []struct {
		blk   uint32
		lsn   core.LSN
		want  bool
		floor core.LSN
		from  origin
	}{
		{0, 99, false, 0, 0},
		{0, 100, true, 0, fromBase},
		{3, 250, true, 0, fromBase},
		{4, 150, false, 0, 0},
		{4, 200, true, 100, fromZeroes},
		{3, 300, false, 0, 0},
		{1, 450, true, 0, fromBase},
		{3, 450, true, 300, fromZeroes},
		{7, 450, false, 0, 0},
		{0, 499, true, 0, fromBase},
		{0, 500, false, 0, 0},
		{0, 600, true, 500, fromZeroes},
		{1, 700, false, 0, 0},
	}
	for _, c := range tests {
		floor, came, ok := f.life(c.blk, c.lsn)
		if ok != c.want || ok && (floor != c.floor || came.from != c.from) {
			t.Errorf("block %d at %s: exists %v, floor %s, origin %d; want %v, %s, %d",
				c.blk, c.lsn, ok, floor, came.from, c.want, c.floor, c.from)
		}
	}
	if _, ok := f.exists(550); ok {
		t.Error("the dropped fork exists")
	}
	if n, ok := f.exists(600); !ok || n != 1 {
		t.Errorf("the new fork has %d blocks (%v), want 1", n, ok)
	}
}

// TestLifeLaw compares life with a walk through all sizes.
func TestLifeLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := born(rapid.Uint32Range(0, 8).Draw(t, "base"))
		lsn := core.LSN(100)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			lsn += core.LSN(rapid.IntRange(1, 3).Draw(t, "gap"))
			n := rapid.Uint32Range(0, 8).Draw(t, "blocks")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				f.drop(lsn)
			case 1:
				if now := f.now(); now.from != gone && now.blocks > n {
					f.resize(size{lsn, n, fromZeroes})
				}
			default:
				f.grow(lsn, n)
			}
		}
		for blk := range uint32(9) {
			for at := core.LSN(98); at <= lsn+1; at++ {
				floor, came, ok := f.life(blk, at)
				wantFloor, wantCame, want := slowLife(f, blk, at)
				if got := fmt.Sprint(floor, came, ok); got != fmt.Sprint(wantFloor, wantCame, want) {
					t.Fatalf("block %d at %s: %s, want %v %v %v\nsizes %v", blk, at, got, wantFloor, wantCame, want, f.sizes)
				}
			}
		}
	})
}

func slowLife(f *fork, blk uint32, at core.LSN) (floor core.LSN, came size, ok bool) {
	for _, s := range f.sizes {
		if s.lsn > at {
			break
		}
		switch {
		case s.blocks <= blk:
			floor, ok = s.lsn, false
		case !ok:
			came, ok = s, true
		}
	}
	if !ok {
		return 0, size{}, false
	}
	return floor, came, true
}

func TestRefKeepsItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := layer.Kind(rapid.IntRange(1, int(layer.KindGone)).Draw(t, "kind"))
		c := rapid.IntRange(0, 1<<chunkBits-1).Draw(t, "chunk")
		o := rapid.IntRange(0, 1<<offBits-1).Draw(t, "off")
		r := makeRef(k, c, o)
		if r.kind() != k || r.chunk() != c || r.off() != o || r.as(layer.KindPatch).off() != o {
			t.Fatalf("%d %d %d became %d %d %d", k, c, o, r.kind(), r.chunk(), r.off())
		}
	})
}
