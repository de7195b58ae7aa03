package register

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"xenon/core/env"
)

// history makes n versions, each written with its number as nonce.
func history(n int) content {
	var c content
	for i := range n {
		c = c.next(nonce{byte(i + 1)}, []byte("payload"))
	}
	return c
}

func TestWrote(t *testing.T) {
	c := history(20)
	tests := []struct {
		name       string
		version    uint64
		nonce      byte
		yes, known bool
	}{
		{"the last version", 20, 20, true, true},
		{"the last version, by another", 20, 9, false, true},
		{"an earlier version", 4, 4, true, true},
		{"an earlier version, by another", 4, 20, false, true},
		{"a version too far back", 3, 3, false, false},
		{"the first version, too far back", 1, 1, false, false},
		{"a version yet to come", 21, 20, false, false},
	}
	for _, tt := range tests {
		if yes, known := c.wrote(tt.version, nonce{tt.nonce}); yes != tt.yes || known != tt.known {
			t.Errorf("%s: got %t, %t, want %t, %t", tt.name, yes, known, tt.yes, tt.known)
		}
	}
}

func TestDamagedRegister(t *testing.T) {
	c := history(5)
	whole := c.encode()
	if back, err := decode(whole); err != nil || !bytes.Equal(back.encode(), whole) {
		t.Fatalf("decode: %+v, %v", back, err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x40
		if _, err := decode(damaged); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, err := decode(whole[:i]); !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// FuzzDecode: no bytes make the decoder panic, and what it takes is what
// encode makes.
func FuzzDecode(f *testing.F) {
	for _, n := range []int{1, 2, 30} {
		c := history(n)
		f.Add(c.encode())
	}
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil {
			return
		}
		if again := c.encode(); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, c, again)
		}
	})
}

// FuzzGeneration: the name of a generation is the number that names it.
func FuzzGeneration(f *testing.F) {
	f.Add("0000002a")
	f.Add("2a")
	f.Add("+000002a")
	f.Fuzz(func(t *testing.T, s string) {
		if g, ok := parseGeneration(s); ok && GenerationKey("", g) != "gen/"+strings.ToLower(s) {
			t.Fatalf("%q is generation %d", s, g)
		}
	})
}
