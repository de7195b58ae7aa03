package core_test

import (
	"strings"
	"testing"

	"xenon/core"
)

func TestParse(t *testing.T) {
	lsn := func(s string) (string, error) { l, err := core.ParseLSN(s); return l.String(), err }
	rel := func(s string) (string, error) { r, err := core.ParseRel(s); return r.String(), err }
	fork := func(s string) (string, error) { f, err := core.ParseFork(s); return f.String(), err }
	key := func(s string) (string, error) { k, err := core.ParseKey(s); return k.String(), err }
	timeline := func(s string) (string, error) { i, err := core.ParseTimelineID(s); return i.String(), err }
	tests := []struct {
		name  string
		parse func(string) (string, error)
		in    string
		want  string // "" is an error
	}{
		{"an LSN", lsn, "0/16B3748", "0/16B3748"},
		{"the last LSN", lsn, "ffffffff/FFFFFFFF", "FFFFFFFF/FFFFFFFF"},
		{"half an LSN", lsn, "0/", ""},
		{"no slash", lsn, "16B3748", ""},
		{"a number beyond 32 bits", lsn, "0/100000000", ""},
		{"a sign", lsn, "0/-1", ""},
		{"a relation", rel, "1663/5/16384", "1663/5/16384"},
		{"two numbers", rel, "1663/5", ""},
		{"an OID beyond 32 bits", rel, "1663/5/4294967296", ""},
		{"a fork", fork, "vm", "vm"},
		{"no fork", fork, "fork9", ""},
		{"a key", key, strings.Repeat("0a", core.KeySize), strings.Repeat("0A", core.KeySize)},
		{"half a key", key, strings.Repeat("0a", core.KeySize-1), ""},
		{"an id", timeline, strings.Repeat("0A", 16), strings.Repeat("0a", 16)},
		{"a long id", timeline, strings.Repeat("0a", 17), ""},
	}
	for _, test := range tests {
		got, err := test.parse(test.in)
		if (err != nil) != (test.want == "") || err == nil && got != test.want {
			t.Errorf("%s: %q is %q, %v; want %q", test.name, test.in, got, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), test.in) {
			t.Errorf("%s: the error does not say what was read: %v", test.name, err)
		}
	}
}

// FuzzParse: what is read is what is written again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0/16B3748", "1663/5/16384", "000000010000000000000001", strings.Repeat("ab", 16), strings.Repeat("AB", core.KeySize), "init"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		again(t, s, core.ParseLSN)
		again(t, s, core.ParseRel)
		again(t, s, core.ParseFork)
		again(t, s, core.ParseKey)
		again(t, s, core.ParseTenantID)
		again(t, s, core.ParseTimelineID)
		for _, size := range []uint32{1 << 20, core.DefaultSegmentSize, 1 << 30} {
			tli, seg, ok := core.ParseSegmentName(s, size)
			if got := core.SegmentName(tli, seg, size); ok && got != s {
				t.Errorf("segment %q of %d bytes is written %q", s, size, got)
			}
		}
	})
}

// again checks that the text of a parsed value is parsed to the same value.
func again[T interface {
	comparable
	String() string
}](t *testing.T, s string, parse func(string) (T, error)) {
	v, err := parse(s)
	if err != nil {
		return
	}
	if w, err := parse(v.String()); err != nil || w != v {
		t.Errorf("%q is %v, which is read as %v, %v", s, v, w, err)
	}
}
