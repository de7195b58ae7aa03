package remote_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/remote"
)

// large is an index of n layers.
func large(n int) *remote.Index {
	x := blank()
	for i := range n {
		l := remote.LayerEntry{Name: extent(core.LSN(i)).Name(), Generation: 3, Upload: uint64(i), Size: 200 << 20, CRC: uint32(i) * 2654435761}
		x.Layers = append(x.Layers, l)
	}
	return &x
}

func TestDamagedIndex(t *testing.T) {
	x := large(2)
	x.Ancestor = &remote.BranchPoint{Timeline: core.TimelineID{9}, LSN: 77}
	x.AddChild(remote.BranchPoint{Timeline: core.TimelineID{8}, LSN: 99})
	x.AddChild(remote.BranchPoint{Timeline: core.TimelineID{7}, LSN: 88})
	x.AddChild(remote.BranchPoint{Timeline: core.TimelineID{8}, LSN: 99})
	whole := x.Encode()
	back, err := remote.DecodeIndex("x", whole)
	if err != nil || !bytes.Equal(back.Encode(), whole) || len(back.Children) != 2 || back.Children[0].LSN != 88 {
		t.Fatalf("decode: %+v, %v", back, err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x40
		if _, err := remote.DecodeIndex("tenants/t/index-3", damaged); err == nil || !strings.Contains(err.Error(), "tenants/t/index-3") {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, err := remote.DecodeIndex("x", whole[:i]); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestIndexVersions(t *testing.T) {
	b := large(0).Encode()
	binary.LittleEndian.PutUint32(b[8:], 1)
	if _, err := remote.DecodeIndex("newer", b); err == nil || !strings.Contains(err.Error(), "version 1") || !strings.Contains(err.Error(), "xenon export") {
		t.Errorf("%v, want the version and the way out", err)
	}
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(large(1).Encode())
	f.Add([]byte("XENONIDX\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := remote.DecodeIndex("fuzz", b)
		if err != nil {
			return
		}
		if _, err := remote.DecodeIndex("again", x.Encode()); err != nil {
			t.Errorf("what was decoded cannot be decoded again: %v", err)
		}
	})
}

// BenchmarkIndex is what each change costs beside its request: 1,000 layers
// are some 250 GB of history.
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		x := large(n)
		whole := x.Encode()
		b.Run(fmt.Sprintf("encode-%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(whole)))
			for b.Loop() {
				x.Encode()
			}
		})
		b.Run(fmt.Sprintf("decode-%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(whole)))
			for b.Loop() {
				if _, err := remote.DecodeIndex("bench", whole); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
