package bootset_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"xenon/core"
	"xenon/core/pageserver/bootset"
)

func TestRelations(t *testing.T) {
	d := bootset.Database{Spc: 1663, DB: 5}
	want := []bootset.Relation{
		{Rel: core.Rel{Spc: 1663, DB: 5, Node: 1259}, Blocks: 3},
		{Rel: core.Rel{Spc: 1663, DB: 5, Node: 16384, Fork: core.VMFork}, Blocks: 1 << 31},
	}
	b := bootset.AppendRelations(nil, want)
	got, err := bootset.DecodeRelations(b, d)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("decoded %v (%v), want %v", got, err, want)
	}
}

func FuzzDecodeRelations(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add(bootset.AppendRelations(nil, []bootset.Relation{{Rel: core.Rel{Node: 7}, Blocks: 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		rels, err := bootset.DecodeRelations(b, bootset.Database{})
		if err == nil && string(bootset.AppendRelations(nil, rels)) != string(b) {
			t.Errorf("decode and encode of %x differ", b)
		}
	})
}
