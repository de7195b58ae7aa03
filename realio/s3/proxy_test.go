package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"xenon/core/env"
	"xenon/core/objstore"
	"xenon/core/register"
	"xenon/internal/versity"
	"xenon/realio"
)

// TestBadServer: over a real server of which every tenth answer is spoilt,
// everything that is asked for patiently is done once, and what is read is
// right.
func TestBadServer(t *testing.T) {
	versity.Setenv(t)
	proxy := versity.NewProxy(t, versity.Start(t, bucket).URL)
	e := realio.New(realio.Options{Objects: open(t, proxy.URL, "p")})
	defer e.Close()
	store := objstore.New(e, e.Objects(), objstore.Options{})
	proxy.Spoil(100)
	ctx := context.Background()
	var all sync.WaitGroup
	var changed, unknown atomic.Int32
	for w := range 8 {
		all.Go(func() {
			for n := range 25 {
				key, content := fmt.Sprintf("w%d/%d", w, n), bytes.Repeat([]byte{byte(w), byte(n)}, 20_000)
				if _, err := store.Put(ctx, key, env.Bytes(content), env.PutOpts{}); err != nil {
					t.Error(err)
					return
				}
				got, _, err := env.ReadObject(ctx, store, key)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, %v", key, len(got), err)
				}
				r, _, err := store.Get(ctx, key, env.GetOpts{Off: 999, Len: 30_000})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[999:30_999]) {
					t.Errorf("%s: a range of %d bytes, %v", key, len(got), err)
				}
				r.Close()
				// What is changed by compare-and-swap is changed as often as it
				// is said to be.
				_, err = register.New(e, "count").Update(ctx, func(s register.State) ([]byte, error) {
					return append(bytes.Clone(s.Payload), byte(w)), nil
				})
				switch {
				case err == nil:
					changed.Add(1)
				case errors.Is(err, env.ErrUnknown): // many others have written since
					unknown.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	proxy.Spoil(0)
	s, err := register.New(e, "count").Read(ctx)
	if n := int32(s.Version()); err != nil || n < changed.Load() || n > changed.Load()+unknown.Load() || len(s.Payload) != int(n) {
		t.Errorf("the counter is at %d, version %d, %v; %d changes, %d unknown", len(s.Payload), n, err, changed.Load(), unknown.Load())
	}
	spoilt, requests := proxy.Struck()
	if st := store.Stats(); spoilt < 50 || st.Retries == 0 {
		t.Errorf("%d of %d requests were spoilt; %+v", spoilt, requests, st)
	}
	t.Logf("%d of %d requests were spoilt", spoilt, requests)
}
