package fuzz_test

import (
	"testing"

	"xenon/fuzz"
)

// BenchmarkSeed is one run with all faults.
func BenchmarkSeed(b *testing.B) {
	for i := range b.N {
		if r := fuzz.Run(fuzz.Options{Seed: uint64(1 + i%50)}); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
