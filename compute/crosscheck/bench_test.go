package crosscheck_test

import (
	"testing"

	"xenon/compute/crosscheck"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/redo"
	"xenon/realio"
)

// BenchmarkWants is what every write of a page pays for the choice.
func BenchmarkWants(b *testing.B) {
	e := realio.New(realio.Options{Root: b.TempDir()})
	defer e.Close()
	s := crosscheck.New(e, crosscheck.Config{Rate: crosscheck.DefaultRate}).Sampler(crosscheck.Life{})
	p := page(boot+8, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		redo.SetPageLSN(p, boot+core.LSN(i))
		s.Wants(vfs.NodeID(i&63), int64(i), p[:])
	}
}

// BenchmarkDiff is what comparing a page costs.
func BenchmarkDiff(b *testing.B) {
	p := page(boot+8, 1)
	b.ReportAllocs()
	for b.Loop() {
		if redo.DiffWritten(p, p, 0) != "" {
			b.Fatal("a page differs from itself")
		}
	}
}
