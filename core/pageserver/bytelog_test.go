package pageserver

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/realio"
)

func TestBytelogSpills(t *testing.T) {
	dir := t.TempDir()
	e := realio.New(realio.Options{Root: dir})
	defer e.Close()
	var l bytelog
	defer l.close()
	rng := rand.New(rand.NewPCG(1, 1))
	type kept struct {
		ref     ref
		start   core.LSN
		payload []byte
	}
	var all []kept
	for i := range 3000 {
		n := rng.IntN(9000)
		if i == 1000 {
			n = chunkSize + 5
		}
		p := bytes.Repeat([]byte{byte(i)}, n)
		all = append(all, kept{l.append(kindRecord, core.LSN(i), p), core.LSN(i), p})
		if i%100 == 0 {
			err := l.spill(chunkSize, func() (env.File, error) { return e.FS().Open("spill", env.Write|env.Create) })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if l.filed < 2 || l.memory() > 3*chunkSize {
		t.Errorf("%d chunks in the file, %d bytes in memory", l.filed, l.memory())
	}
	for i, k := range all {
		got, err := l.get(k.ref)
		if err != nil || got.start != k.start || !bytes.Equal(got.payload, k.payload) {
			t.Fatalf("entry %d: %d bytes from %s (%v), want %d from %s", i, len(got.payload), got.start, err, len(k.payload), k.start)
		}
	}

	// Damage in the file is found, a cut one too.
	path := filepath.Join(dir, "spill")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 4, 9, entryHead + 3} {
		bad := bytes.Clone(b)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.get(all[0].ref); len(all[0].payload) > 3 && !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("byte %d flipped: %v, want %v", at, err, env.ErrCorrupt)
		}
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := l.get(all[0].ref); !errors.Is(err, env.ErrCorrupt) {
		t.Errorf("a cut file: %v, want %v", err, env.ErrCorrupt)
	}
}
