package s3_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"xenon/core/env"
	"xenon/core/env/envtest"
	"xenon/internal/versity"
	"xenon/realio"
	"xenon/realio/s3"
)

const bucket = "xenon-bucket"

// fake is an S3 server in this process.
func fake(t testing.TB) string {
	t.Helper()
	versity.Setenv(t)
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return server.URL
}

func open(t testing.TB, url, prefix string) *s3.Store {
	t.Helper()
	s, err := s3.Open(context.Background(), s3.Config{Bucket: bucket, Endpoint: url, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contract runs the suite of object stores over the server at url, each case
// below a prefix of its own in one bucket.
func contract(t *testing.T, url string, except ...string) {
	suite(t, func(t *testing.T, n int32) *s3.Store { return open(t, url, fmt.Sprintf("case/%d", n)) }, except...)
}

// suite is the suite over the stores that open makes, one for each case.
func suite(t *testing.T, open func(t *testing.T, n int32) *s3.Store, except ...string) {
	var cases atomic.Int32
	envtest.Objects(t, func(t *testing.T, c envtest.Case) {
		if c.AnyKey || slices.Contains(except, c.Name) {
			return // such keys are refused; see TestKeys
		}
		store := open(t, cases.Add(1))
		err := envtest.Fails(c, func(int) env.Env {
			e := realio.New(realio.Options{Objects: store})
			t.Cleanup(func() { e.Close() })
			return e
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestContractFake: gofakes3 tells a common prefix again on the next page,
// which S3 does not.
func TestContractFake(t *testing.T) { contract(t, fake(t), "listing with a delimiter") }

// TestContractReal runs in the bucket that XENON_S3_BUCKET names, below a
// prefix of its own that it removes; region, endpoint and credentials are
// those of the environment.
func TestContractReal(t *testing.T) {
	name := os.Getenv("XENON_S3_BUCKET")
	if name == "" {
		t.Skip("skipped: XENON_S3_BUCKET names no bucket to try")
	}
	prefix := fmt.Sprintf("xenon-test/%d", time.Now().UnixNano())
	all, err := s3.Open(t.Context(), s3.Config{Bucket: name, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, all) })
	suite(t, func(t *testing.T, n int32) *s3.Store {
		s, err := s3.Open(t.Context(), s3.Config{Bucket: name, Prefix: fmt.Sprintf("%s/%d", prefix, n)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func removeAll(t *testing.T, s *s3.Store) {
	for {
		page, err := s.List(context.Background(), env.ListOpts{})
		if err != nil {
			t.Error(err)
			return
		}
		for _, m := range page.Objects {
			if err := s.Delete(context.Background(), m.Key); err != nil {
				t.Error(err)
			}
		}
		if page.Next == "" {
			return
		}
	}
}

func TestContractVersity(t *testing.T) {
	versity.Setenv(t)
	contract(t, versity.Start(t, bucket).URL)
}
