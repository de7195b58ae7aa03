package fuzz_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/fuzz"
)

// seeds is how many a test runs: few, or many with XENON_FULL.
func seeds(few, many uint64) uint64 {
	if os.Getenv("XENON_FULL") == "1" {
		return many
	}
	return few
}

// TestSeeds runs some seeds with all faults.
func TestSeeds(t *testing.T) {
	var total fuzz.Counts
	for seed := uint64(1); seed <= seeds(12, 200); seed++ {
		r := fuzz.Run(fuzz.Options{Seed: seed})
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		total.Elections += r.Counts.Elections
		total.PagesCompared += r.Counts.PagesCompared
		total.Writes += r.Counts.Writes
	}
	t.Logf("%d elections, %d writes, %d pages compared", total.Elections, total.Writes, total.PagesCompared)
	if total.Writes == 0 || total.PagesCompared == 0 {
		t.Error("nothing happened")
	}
}

// TestSameSeedSameRun runs seeds twice.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= seeds(2, 50); seed++ {
		a, b := fuzz.Run(fuzz.Options{Seed: seed}), fuzz.Run(fuzz.Options{Seed: seed})
		if a.Hash != b.Hash || a.Steps != b.Steps {
			t.Errorf("seed %d: hashes %x and %x after %d and %d steps", seed, a.Hash, b.Hash, a.Steps, b.Steps)
		}
	}
}

// TestCorpus runs every command that once failed: a file of testdata/corpus
// has one in its first line, and says behind it what was wrong.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			o := readCommand(t, name)
			if r := fuzz.Run(o); r.Err != nil {
				t.Error(r.Err)
			}
		})
	}
}

// readCommand reads "xenon sim --seed N [--faults LIST]".
func readCommand(t *testing.T, name string) (o fuzz.Options) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := bufio.NewScanner(f)
	line.Scan()
	words := strings.Fields(line.Text())
	for i := 2; i+1 < len(words); i += 2 {
		switch words[i] {
		case "--seed":
			for _, d := range words[i+1] {
				o.Seed = 10*o.Seed + uint64(d-'0')
			}
		case "--faults":
			if o.Classes, err = fuzz.ParseClasses(words[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if o.Seed == 0 {
		t.Fatalf("%s: %q is no command with a seed", name, line.Text())
	}
	return o
}
