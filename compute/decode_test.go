package compute

import (
	"bytes"
	"errors"
	"testing"

	"xenon/core/env"
)

// FuzzKept: what is taken for a kept file is written again as it was.
func FuzzKept(f *testing.F) {
	f.Add(kept{epoch: 7}.encode())
	f.Add(kept{epoch: 7, there: true, content: []byte("work_mem = '7MB'\n")}.encode())
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKept(b)
		if err != nil {
			if !errors.Is(err, env.ErrCorrupt) {
				t.Errorf("%x: %v", b, err)
			}
			return
		}
		if again := k.encode(); !bytes.Equal(again, b) {
			t.Errorf("%x is %+v, which is written %x", b, k, again)
		}
	})
}

// FuzzClaim: no bytes of a register make the decoder panic.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"owner":"a/main","epoch":3}`))
	f.Add([]byte(`{"epoch":-1}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseClaim("main", b); err != nil && !errors.Is(err, env.ErrCorrupt) {
			t.Errorf("%q: %v", b, err)
		}
	})
}
