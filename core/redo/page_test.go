package redo

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"xenon/core"
)

// pageWith makes an empty page with items of the given bytes, added in order.
func pageWith(t testing.TB, items ...string) *Page {
	t.Helper()
	p := new(Page)
	initPage(p, 16)
	for i, s := range items {
		if !addItem(p, []byte(s), i+1) {
			t.Fatalf("item %d does not fit", i+1)
		}
	}
	return p
}

// contents lists the items of a page as text; "-" is a line pointer without
// an item.
func contents(p *Page) []string {
	var out []string
	for n := 1; n <= maxOffset(p); n++ {
		if b, ok := item(p, n); ok {
			out = append(out, string(b))
		} else {
			out = append(out, "-")
		}
	}
	return out
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestItems(t *testing.T) {
	a := new(Applier)
	tests := []struct {
		name  string
		start []string
		do    func(p *Page) bool
		want  []string
		upper int // bytes of items, padding included
	}{
		{"added in the middle, the rest moves up", []string{"a", "b"},
			func(p *Page) bool { return addItem(p, []byte("x"), 2) }, []string{"a", "x", "b"}, 24},
		{"one deleted closes both gaps", []string{"a", "bb", "c"},
			func(p *Page) bool { return deleteItem(p, 2) }, []string{"a", "c"}, 16},
		{"two deleted one by one", []string{"a", "b", "c", "d"},
			func(p *Page) bool { return a.deleteItems(p, []byte{1, 0, 3, 0}) }, []string{"b", "d"}, 16},
		{"many deleted by packing", []string{"a", "b", "c", "d", "e"},
			func(p *Page) bool { return a.deleteItems(p, []byte{1, 0, 3, 0, 4, 0}) }, []string{"b", "e"}, 16},
		{"grown in place", []string{"a", "b", "c"}, func(p *Page) bool {
			dst, ok := resizeItem(p, 2, 20)
			copy(dst, bytes.Repeat([]byte("y"), 20))
			return ok
		}, []string{"a", "yyyyyyyyyyyyyyyyyyyy", "c"}, 40},
		{"shrunk in place", []string{"a", "0123456789abcdef", "c"}, func(p *Page) bool {
			dst, ok := resizeItem(p, 2, 4)
			copy(dst, "zzzz")
			return ok
		}, []string{"a", "zzzz", "c"}, 24},
		{"repaired: dead items go, trailing pointers too", []string{"a", "b", "c", "d"}, func(p *Page) bool {
			setDead(p, 1)
			setRedirect(p, 2, 3)
			setUnused(p, 4)
			return a.repairFragmentation(p, true)
		}, []string{"-", "-", "c"}, 8},
		{"repaired out of order", []string{"a", "b", "c"}, func(p *Page) bool {
			one, three := itemAt(p, 1), itemAt(p, 3)
			setItem(p, 1, three)
			setItem(p, 3, one)
			return a.repairFragmentation(p, true)
		}, []string{"c", "b", "a"}, 24},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := pageWith(t, test.start...)
			if !test.do(p) {
				t.Fatal("refused")
			}
			if got := contents(p); !equal(got, test.want) {
				t.Errorf("items %q, want %q", got, test.want)
			}
			if got := special(p) - upper(p); got != test.upper {
				t.Errorf("%d bytes of items, want %d", got, test.upper)
			}
			if !sane(p) {
				t.Error("the header's pointers are out of order")
			}
		})
	}
}

func TestItemsRefuse(t *testing.T) {
	a := new(Applier)
	tests := []struct {
		name string
		do   func(p *Page) bool
	}{
		{"a gap in the line pointers", func(p *Page) bool { return addItem(p, []byte("x"), 4) }},
		{"offset number 0", func(p *Page) bool { return addItem(p, []byte("x"), 0) }},
		{"more than fits", func(p *Page) bool { return addItem(p, make([]byte, 8150), 1) }},
		{"overwriting an item", func(p *Page) bool { _, ok := reserveItem(p, 1, 8, true); return ok }},
		{"deleting what is not there", func(p *Page) bool { return deleteItem(p, 3) }},
		{"deleting in descending order", func(p *Page) bool { return a.deleteItems(p, []byte{2, 0, 1, 0, 1, 0}) }},
		{"growing beyond the page", func(p *Page) bool { _, ok := resizeItem(p, 1, 8180); return ok }},
		{"an item outside the page", func(p *Page) bool {
			setItem(p, 1, makeItem(8190, lpNormal, 100))
			return a.repairFragmentation(p, true)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.do(pageWith(t, "a", "b")) {
				t.Error("done")
			}
		})
	}
}

func TestTruncateLinePointers(t *testing.T) {
	tests := []struct {
		name   string
		unused []int
		want   int
		hint   bool
	}{
		{"none unused", nil, 4, false},
		{"at the end", []int{3, 4}, 2, false},
		{"in the middle", []int{2}, 4, true},
		{"both", []int{1, 4}, 3, true},
		{"all but the first stays", []int{1, 2, 3, 4}, 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := pageWith(t, "a", "b", "c", "d")
			for _, n := range test.unused {
				setUnused(p, n)
			}
			truncateLinePointers(p)
			if maxOffset(p) != test.want || u16(p[:], pdFlags)&flagHasFreeLines != 0 != test.hint {
				t.Errorf("%d line pointers, flags %d, want %d, hint %v", maxOffset(p), u16(p[:], pdFlags), test.want, test.hint)
			}
		})
	}
}

// Whatever is added, deleted and compacted, every item keeps its bytes.
func TestItemsKeepTheirBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, p := new(Applier), new(Page)
		initPage(p, 8)
		var want []string
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch n := rapid.IntRange(1, len(want)+1).Draw(t, "n"); {
			case rapid.Bool().Draw(t, "add") || len(want) == 0 || n > len(want):
				s := rapid.StringN(1, 40, 200).Draw(t, "item")
				if addItem(p, []byte(s), n) {
					want = append(want[:n-1:n-1], append([]string{s}, want[n-1:]...)...)
				}
			case rapid.Bool().Draw(t, "delete"):
				if !deleteItem(p, n) {
					t.Fatalf("delete %d of %d refused", n, len(want))
				}
				want = append(want[:n-1:n-1], want[n:]...)
			default:
				if !a.repairFragmentation(p, true) {
					t.Fatal("repair refused")
				}
			}
		}
		if got := contents(p); !equal(got, want) {
			t.Fatalf("items %q, want %q", got, want)
		}
		if special(p) != core.PageSize-8 || !sane(p) {
			t.Fatal("the header is out of order")
		}
	})
}
