package s3_test

import (
	"context"
	"crypto/rand"
	"io"
	"testing"

	"xenon/core/env"
	"xenon/internal/versity"
)

// BenchmarkVersity puts and gets a layer of 64 MiB on a real server that runs
// on the same machine.
func BenchmarkVersity(b *testing.B) {
	versity.Setenv(b)
	s := open(b, versity.Start(b, bucket).URL, "")
	layer := make([]byte, 64<<20)
	rand.Read(layer)
	ctx := context.Background()
	b.Run("put", func(b *testing.B) {
		b.SetBytes(int64(len(layer)))
		for b.Loop() {
			if _, err := s.Put(ctx, "layer", env.Bytes(layer), env.PutOpts{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, tt := range []struct {
		name string
		o    env.GetOpts
	}{{"get", env.GetOpts{}}, {"get a block", env.GetOpts{Off: 1 << 20, Len: 32 << 10}}} {
		b.Run(tt.name, func(b *testing.B) {
			b.SetBytes(max(tt.o.Len, 1))
			if tt.o.Len == 0 {
				b.SetBytes(int64(len(layer)))
			}
			for b.Loop() {
				r, _, err := s.Get(ctx, "layer", tt.o)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
