package redo

import (
	"errors"
	"testing"
)

func TestPatchApply(t *testing.T) {
	tests := []struct {
		name  string
		patch Patch
		text  string
		check func(p *Page) bool
	}{
		{"clear both bits", Patch{opVMClear, 5, 0, 3}, "vm clear 5 bits 3",
			func(p *Page) bool { return vmBitsOf(p, 5) == 0 && vmBitsOf(p, 4) == 3 && vmBitsOf(p, 6) == 3 }},
		{"clear all-frozen only", Patch{opVMClear, 6, 0, 2}, "vm clear 6 bits 2",
			func(p *Page) bool { return vmBitsOf(p, 6) == 1 && vmBitsOf(p, 5) == 3 }},
		{"truncate a map", Patch{opVMTruncate, 9, 0}, "vm truncate 9",
			func(p *Page) bool { return vmBitsOf(p, 8) == 3 && vmBitsOf(p, 9) == 0 && vmBitsOf(p, 32671) == 0 }},
		{"status of transactions", Patch{opClog, 1, 2, 0, 0, 4, 3, 4}, "clog status 1 1024 1027",
			func(p *Page) bool { return p[256] == 1<<0|3<<2|3<<4|1<<6 && p[255] == 0xFF }},
		{"zero, then an offset", Patch{opZero, opMultiOffset, 2, 0, 0x78, 0x56, 0x34, 0x12}, "zero; multi offset 2 = 305419896",
			func(p *Page) bool { return u32(p[:], 8) == 0x12345678 && u32(p[:], 0) == 0 && u32(p[:], 12) == 0 }},
		{"a member in its group", Patch{opMultiMember, 5, 0, 4, 7, 0, 0, 0}, "multi member 5 = 7 status 4",
			func(p *Page) bool { return p[20+1] == 4 && u32(p[:], 20+4+4) == 7 && p[20] == 0xFF }},
		{"a commit time", Patch{opCommitTs, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 2, 0}, "commit ts 9 origin 3 2",
			func(p *Page) bool { return u64(p[:], 20) == 9 && u16(p[:], 28) == 3 && p[30] == 0xFF }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p Page
			for i := range p {
				p[i] = 0xFF
			}
			if err := test.patch.Check(); err != nil {
				t.Fatal(err)
			}
			if err := test.patch.Apply(&p); err != nil {
				t.Fatal(err)
			}
			if !test.check(&p) {
				t.Error("wrong bytes")
			}
			if got := test.patch.String(); got != test.text {
				t.Errorf("String %q, want %q", got, test.text)
			}
			if test.patch.Init() != (test.patch[0] == opZero) {
				t.Error("Init is wrong")
			}
		})
	}
}

func TestPatchRefusesBadBytes(t *testing.T) {
	for _, p := range []Patch{
		nil, {}, {0}, {99}, {opVMClear, 1}, {opVMClear, 0xA0, 0x7F, 3}, {opClog, 4, 0, 0}, {opClog, 1, 2, 0, 1, 0},
		{opClog, 1, 1, 0, 0, 0x80}, {opMultiOffset, 0, 8, 0, 0, 0, 0}, {opMultiMember, 0x64, 6, 0, 0, 0, 0, 0},
		{opVMClear, 1, 0, 3, opZero}, {opCommitTs, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x33, 3},
	} {
		if err := p.Check(); !errors.Is(err, ErrMalformed) {
			t.Errorf("% x: %v, want ErrMalformed", []byte(p), err)
		}
		if err := p.Apply(new(Page)); !errors.Is(err, ErrMalformed) {
			t.Errorf("% x: applied with %v, want ErrMalformed", []byte(p), err)
		}
	}
}

func TestClearingBitsOfAMapNeverWrittenMakesItAPage(t *testing.T) {
	var p Page
	if err := (Patch{opVMClear, 0, 0, 3}).Apply(&p); err != nil {
		t.Fatal(err)
	}
	if IsNew(&p) || lower(&p) != headerSize || PageLSN(&p) != 0 {
		t.Error("not an empty page")
	}
}
