package wal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// An image taken of a page and restored is the page, with zeroes in its hole.
func TestRestoreInvertsSetImage(t *testing.T) { restoreInvertsSetImage(t) }

func restoreInvertsSetImage(t rapid.TB) {
	rapid.Check(t, func(t *rapid.T) {
		page := genPage(t)
		var b wal.Block
		b.SetImage(wal.PG15, page, wal.ImageOpts{Standard: rapid.Bool().Draw(t, "standard")})
		switch rapid.IntRange(0, 3).Draw(t, "compression") {
		case 1:
			b.Compression, b.Image = wal.PGLZ, encodePGLZ(b.Image)
		case 2:
			b.Compression, b.Image = wal.LZ4, encodeLZ4(b.Image)
		case 3:
			b.Compression, b.Image = wal.Zstd, encodeZstd(b.Image)
		}
		got := [core.PageSize]byte{1, 2, 3}
		if err := wal.RestoreImage(&b, &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:], page[:]) {
			t.Fatal("another page came back")
		}
		if b.Compression == wal.Uncompressed {
			return
		}
		// Cut anywhere, it is an error and not half a page.
		b.Image = b.Image[:rapid.IntRange(0, len(b.Image)-1).Draw(t, "cut")]
		if err := wal.RestoreImage(&b, &got); !errors.Is(err, env.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", len(b.Image), err)
		}
	})
}

func TestRestoreImageRefuses(t *testing.T) {
	pages := bytes.Repeat([]byte{1}, 3*core.PageSize)
	tests := []struct {
		name string
		b    wal.Block
	}{
		{"no image", wal.Block{}},
		{"a hole that leaves the page", wal.Block{HasImage: true, HoleOffset: 8000, HoleLen: 193}},
		{"too few bytes", wal.Block{HasImage: true, Image: pages[:8191]}},
		{"too many bytes", wal.Block{HasImage: true, Image: pages[:8193]}},
		{"no such compression", wal.Block{HasImage: true, Compression: 9, Image: pages[:8192]}},
		{"pglz of more than a page", wal.Block{HasImage: true, Compression: wal.PGLZ, Image: encodePGLZ(pages)}},
		{"lz4 of more than a page", wal.Block{HasImage: true, Compression: wal.LZ4, Image: encodeLZ4(pages)}},
		{"zstd of more than a page", wal.Block{HasImage: true, Compression: wal.Zstd, Image: encodeZstd(pages)}},
		{"zstd of a gigabyte", wal.Block{HasImage: true, Compression: wal.Zstd, Image: encodeZstd(make([]byte, 64<<20))}},
		{"pglz that refers to before the page", wal.Block{HasImage: true, Compression: wal.PGLZ, Image: []byte{1, 0x00, 0x01}}},
		{"lz4 that refers to before the page", wal.Block{HasImage: true, Compression: wal.LZ4, Image: []byte{0x10, 7, 2, 0}}},
		{"lz4 with a length without an end", wal.Block{HasImage: true, Compression: wal.LZ4, Image: []byte{0xF0, 255, 255}}},
	}
	for _, tt := range tests {
		var dst [core.PageSize]byte
		if err := wal.RestoreImage(&tt.b, &dst); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// encodePGLZ is a greedy compressor: it finds the last place with the same
// three bytes.
func encodePGLZ(src []byte) []byte {
	var out []byte
	control, items := -1, 8
	item := func(bit byte, b ...byte) {
		if items == 8 {
			control, items = len(out), 0
			out = append(out, 0)
		}
		out[control] |= bit << items
		items++
		out = append(out, b...)
	}
	last := map[[3]byte]int{}
	for i := 0; i < len(src); {
		n, back := match(src, i, last, 4095, 273)
		if n < 3 {
			item(0, src[i])
			n = 1
		} else if n < 18 {
			item(1, byte(n-3)|byte(back>>4&0xF0), byte(back))
		} else {
			item(1, 0x0F|byte(back>>4&0xF0), byte(back), byte(n-18))
		}
		remember(src, i, n, last)
		i += n
	}
	return out
}

func match(src []byte, i int, last map[[3]byte]int, farthest, longest int) (n, back int) {
	if i+3 > len(src) {
		return 0, 0
	}
	j, ok := last[[3]byte(src[i:])]
	if !ok || i-j > farthest {
		return 0, 0
	}
	for i+n < len(src) && n < longest && src[j+n] == src[i+n] {
		n++
	}
	return n, i - j
}

func remember(src []byte, i, n int, last map[[3]byte]int) {
	for ; n > 0 && i+3 <= len(src); i, n = i+1, n-1 {
		last[[3]byte(src[i:])] = i
	}
}

// encodeLZ4 is the same for the LZ4 block format, of which only the last five
// bytes must be literals.
func encodeLZ4(src []byte) []byte {
	var out, lits []byte
	last := map[[3]byte]int{}
	length := func(n int) {
		for n -= 15; n >= 255; n -= 255 {
			out = append(out, 255)
		}
		if n >= 0 {
			out = append(out, byte(n))
		}
	}
	literals := func(m int) {
		out = append(out, byte(min(len(lits), 15)<<4|min(m, 15)))
		length(len(lits))
		out = append(out, lits...)
		lits = lits[:0]
	}
	for i := 0; i < len(src); {
		n, back := match(src, i, last, 65535, max(0, len(src)-5-i))
		if n < 4 {
			lits = append(lits, src[i])
			n = 1
		} else {
			literals(n - 4)
			out = append(out, byte(back), byte(back>>8))
			length(n - 4)
		}
		remember(src, i, n, last)
		i += n
	}
	literals(0)
	return out
}

func encodeZstd(src []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(src, nil)
}

func BenchmarkRestore(b *testing.B) {
	var page, dst [core.PageSize]byte
	for i := range page {
		page[i] = byte(i * i >> 7)
	}
	for c, enc := range map[wal.Compression]func([]byte) []byte{
		wal.Uncompressed: func(p []byte) []byte { return p }, wal.PGLZ: encodePGLZ, wal.LZ4: encodeLZ4, wal.Zstd: encodeZstd} {
		b.Run(c.String(), func(b *testing.B) {
			blk := wal.Block{HasImage: true, Compression: c, Image: enc(page[:])}
			b.SetBytes(core.PageSize)
			b.ReportAllocs()
			for b.Loop() {
				if err := wal.RestoreImage(&blk, &dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
