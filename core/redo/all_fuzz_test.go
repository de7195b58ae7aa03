package redo

import (
	"path/filepath"
	"testing"
)

// FuzzRedo is every other target of redo in one, so that what it is given
// counts for all managers: what becomes of any record in testdata, on its page
// and beyond its blocks.
func FuzzRedo(f *testing.F) {
	files, err := filepath.Glob("testdata/*.seeds")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	var seeds []seed
	for _, name := range files {
		seeds = append(seeds, readSeeds(f, filepath.Base(name))...)
	}
	for i := range seeds {
		f.Add(uint16(i), []byte{})
		f.Add(uint16(i), []byte{0, 1, byte(i), 1, 2, 0, byte(2 * i), byte(i)})
		f.Add(uint16(i), []byte{4, 1, 128, 0, 7, 0, byte(i % 8), 16 + byte(i%15)})
	}
	f.Fuzz(func(t *testing.T, n uint16, program []byte) {
		s := seeds[int(n)%len(seeds)].copyOf()
		s.mutate(program[:min(len(program), 64)], seeds)
		if s.blk() != nil {
			s.apply(t, new(Applier))
		}
		checkEffects(t, s.rec)
	})
}
