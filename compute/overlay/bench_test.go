package overlay_test

import (
	"testing"

	"xenon/compute/overlay"
	"xenon/core"
	"xenon/realio"
)

func BenchmarkReadWritePage(b *testing.B) {
	e := realio.New(realio.Options{Root: b.TempDir()})
	defer e.Close()
	s, err := overlay.NewScratch(e, "s", 8)
	if err != nil {
		b.Fatal(err)
	}
	f := overlay.NewFile(e, s, nil, 0)
	page := make([]byte, core.PageSize)
	page[0] = 1
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		off := i % 1000 * core.PageSize
		if err := f.WriteAt(b.Context(), page, off); err != nil {
			b.Fatal(err)
		}
		if _, err := f.ReadAt(b.Context(), page, off); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
