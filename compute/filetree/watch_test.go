package filetree_test

import (
	"fmt"
	"slices"
	"testing"

	"xenon/compute/filetree"
	"xenon/compute/vfs"
	"xenon/core"
)

// A note is a watcher that writes down what it is given.
type note struct {
	asked int
	at    core.LSN
	taken []string
}

func (n *note) Wants(vfs.NodeID, int64, []byte) bool { n.asked++; return true }

func (n *note) Position() core.LSN { return n.at }

func (n *note) Take(p filetree.WrittenPage) {
	s := fmt.Sprintf("%s %d %c", p.Rel, p.Block, p.Page[0])
	if p.Unlogged {
		s += " unlogged"
	}
	if p.Made != 0 {
		s += fmt.Sprintf(" made at %s", p.Made)
	}
	n.taken = append(n.taken, s)
}

// TestWatch: the watcher is told of each whole page that is written to a
// relation's file, and where it belongs.
func TestWatch(t *testing.T) {
	ctx := t.Context()
	tree := newTree(t, newSource(), nil)
	n := &note{at: 0x100}
	tree.Tree.(*filetree.Tree).Watch(n)
	for _, dir := range []string{"base/7", "pg_tblspc/16500", "pg_tblspc/16500/PG_15_1", "pg_tblspc/16500/PG_15_1/8", "base/pgsql_tmp"} {
		n.at += 0x10
		if err := tree.Mkdir(ctx, dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const p = core.PageSize
	tests := []struct {
		path string
		off  int64
		size int
		want string // "" for nothing
	}{
		{"base/5/16384", 2 * p, p, "1663/5/16384 2 x"},
		{"base/5/16384_vm", 0, p, "1663/5/16384_vm 0 x"},
		{"base/5/16384.2", p, p, "1663/5/16384 262145 x"},
		{"global/1262", 0, p, "1664/0/1262 0 x"},
		{"base/5/16386", 0, p, "1663/5/16386 0 x unlogged"},
		{"base/5/16386_init", 0, p, "1663/5/16386_init 0 x unlogged"},
		{"base/7/16384", 0, p, "1663/7/16384 0 x made at 0/110"},
		{"base/7/16384_init", 0, p, "1663/7/16384_init 0 x unlogged made at 0/110"},
		{"base/7/16384", p, p, "1663/7/16384 1 x unlogged made at 0/110"},
		{"pg_tblspc/16500/PG_15_1/8/16384", 0, p, "16500/8/16384 0 x made at 0/140"},
		{"base/5/16384", 2 * p, 2 * p, ""}, // a bulk extension, or a copy
		{"base/5/16384", 100, p, ""},
		{"base/5/16384", 0, 512, ""},
		{"base/5/t3_16384", 0, p, ""}, // of a temporary relation
		{"base/5/pg_internal.init", 0, p, ""},
		{"base/pgsql_tmp/16384", 0, p, ""},
		{"pg_xact/0000", 0, p, ""},
	}
	for _, tt := range tests {
		n.taken = nil
		f, err := tree.OpenFile(ctx, tt.path, vfs.OpenHow{Create: true, Mode: 0o600})
		if err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		b := make([]byte, tt.size)
		b[0] = 'x'
		if err := f.WriteAt(ctx, b, tt.off); err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		f.Close(ctx)
		var want []string
		if tt.want != "" {
			want = append(want, tt.want)
		}
		if !slices.Equal(n.taken, want) {
			t.Errorf("%d bytes at %d of %s: %q, want %q", tt.size, tt.off, tt.path, n.taken, want)
		}
	}
	if n.asked == 0 || n.asked > len(tests) {
		t.Errorf("asked %d times", n.asked)
	}
}
