package remote

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
	"xenon/core/env"
)

func TestNewest(t *testing.T) {
	tests := []struct {
		name  string
		there []core.Generation
		gen   core.Generation
		want  core.Generation
		err   error
	}{
		{"the one before", []core.Generation{1}, 2, 1, nil},
		{"numbers in between were burnt, or never wrote", []core.Generation{1, 4}, 9, 4, nil},
		{"there is none", nil, 2, 0, env.ErrNotFound},
		{"a newer owner was faster", []core.Generation{1, 3}, 2, 0, ErrSuperseded},
		{"its own, which nobody but it may write", []core.Generation{1, 2}, 2, 0, env.ErrCorrupt},
	}
	for _, tt := range tests {
		got, err := newest(tt.there, tt.gen)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d, %v, want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// local is layers that end at 20, 30, …, of a size each.
func local(n int, size int64) (list []LocalLayer) {
	for i := range n {
		end := core.LSN(20 + 10*i)
		list = append(list, LocalLayer{LayerEntry: LayerEntry{Name: fmt.Sprint(i), Size: size}, Ends: Record{end, end - 5}})
	}
	return list
}

func TestNextBatch(t *testing.T) {
	at := func(lsn core.LSN) Record { return Record{lsn, lsn - 5} }
	tests := []struct {
		name   string
		stored Record
		layers []LocalLayer
		disk   Record
		n      int
		ends   Record
	}{
		{"nothing", at(10), nil, at(10), 0, at(10)},
		{"WAL without anything to store", at(10), nil, at(15), 0, at(15)},
		{"one layer", at(10), local(1, 5), at(20), 1, at(20)},
		{"the record is beyond the last layer", at(10), local(2, 5), at(38), 2, at(38)},
		{"large layers go one by one", at(10), local(3, batchBytes), at(40), 1, at(20)},
		{"many go in several batches", at(10), local(batchMost+1, 5), at(1000), batchMost, at(20 + 10*(batchMost-1))},
		{"layers that are stored already take nothing back", at(50), local(2, 5), at(30), 2, at(50)},
	}
	for _, tt := range tests {
		batch, ends := nextBatch(&Index{DiskConsistent: tt.stored}, tt.layers, tt.disk)
		if len(batch) != tt.n || ends != tt.ends {
			t.Errorf("%s: %d layers up to %v, want %d up to %v", tt.name, len(batch), ends, tt.n, tt.ends)
		}
	}
}

// TestBatchesLaw: whatever there is to upload, batches taken one after the other
// enter each layer once, in order, never name an LSN before its layers, and end
// where the disk does.
func TestBatchesLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := local(rapid.IntRange(0, 100).Draw(t, "layers"), rapid.Int64Range(1, 2*batchBytes).Draw(t, "size"))
		x := &Index{LSN: 10, DiskConsistent: Record{10, 5}}
		disk := x.DiskConsistent
		if n := len(layers); n > 0 {
			disk = layers[n-1].Ends
		}
		if rapid.Bool().Draw(t, "beyond") {
			disk = Record{disk.LSN + 3, disk.LSN}
		}
		names := make([]string, 0, len(layers))
		for rest := layers; x.DiskConsistent != disk; {
			batch, ends := nextBatch(x, rest, disk)
			var entries []LayerEntry
			for _, l := range batch {
				entries = append(entries, l.LayerEntry)
				names = append(names, l.Name)
			}
			enter(x, entries, ends)
			enter(x, entries, ends) // a Change may call its function again
			if rest = rest[len(batch):]; len(rest) > 0 && x.DiskConsistent.LSN >= rest[0].Ends.LSN {
				t.Fatalf("the index says %s and lacks the layer up to %s", x.DiskConsistent.LSN, rest[0].Ends.LSN)
			}
		}
		if len(x.Layers) != len(layers) || !slices.EqualFunc(layers, names, func(l LocalLayer, n string) bool { return l.Name == n }) {
			t.Fatalf("%d layers are entered, want %d; in the order %v", len(x.Layers), len(layers), names)
		}
	})
}
