package realio_test

import (
	"testing"

	"xenon/core/env"
	"xenon/realio"
)

// BenchmarkSync is what a sync costs here beside the system call. A commit
// makes three, in one process all of them.
func BenchmarkSync(b *testing.B) {
	e := realio.New(realio.Options{Root: b.TempDir()})
	defer e.Close()
	f, err := e.FS().Open("f", env.Write|env.Create)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Sync(env.SyncData); err != nil {
			b.Fatal(err)
		}
	}
}
