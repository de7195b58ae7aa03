package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/internal/versity"
	"xenon/realio/s3"
)

// answering is a server that answers every request in one way and counts them.
func answering(t *testing.T, answer http.HandlerFunc) (string, *atomic.Int32) {
	t.Helper()
	versity.Setenv(t)
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, &n
}

// saying is the answer of S3 with an error code.
func saying(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>Because.</Message></Error>", code)
	}
}

// hangUp ends the connection: before it looks at the request, or after it has
// read it.
func hangUp(after bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if after {
			io.Copy(io.Discard, r.Body)
		}
		c, _, _ := w.(http.Hijacker).Hijack()
		c.Close()
	}
}

// kindsOf are the errors of package env that err is.
func kindsOf(err error) string {
	var kinds []string
	for _, k := range []struct {
		name string
		err  error
	}{
		{"not found", env.ErrNotFound}, {"precondition", env.ErrPrecondition}, {"conflict", env.ErrConflict},
		{"slow down", env.ErrSlowDown}, {"unavailable", env.ErrUnavailable}, {"unknown", env.ErrUnknown},
		{"corrupt", env.ErrCorrupt}, {"forbidden", env.ErrForbidden}, {"no bucket", s3.ErrNoBucket}, {"cut", io.ErrUnexpectedEOF},
	} {
		if errors.Is(err, k.err) {
			kinds = append(kinds, k.name)
		}
	}
	return strings.Join(kinds, ", ")
}

// TestAnswers: what an answer says about what was done, to a put and to a get.
// Each request is made once.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name     string
		answer   http.HandlerFunc
		put, get string
	}{
		{"a key that is not there", saying(404, "NoSuchKey"), "not found", "not found"},
		{"a bucket that is not there", saying(404, "NoSuchBucket"), "no bucket", "no bucket"},
		{"a user who is not there", saying(404, "XAdminUserNotFound"), "forbidden", "forbidden"},
		{"a proxy that knows nothing of buckets", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "", ""},
		{"a condition that does not hold", saying(412, "PreconditionFailed"), "precondition", "precondition"},
		{"a race of conditions", saying(409, "ConditionalRequestConflict"), "conflict", "conflict"},
		{"too many requests", saying(503, "SlowDown"), "slow down", "slow down"},
		{"too many requests, by status alone", saying(429, "Whatever"), "slow down", "slow down"},
		{"busy", saying(503, "ServiceUnavailable"), "unknown", "unavailable"},
		{"a fault inside", saying(500, "InternalError"), "unknown", "unavailable"},
		{"a proxy without an answer", saying(504, "GatewayTimeout"), "unknown", "unavailable"},
		{"no access", saying(403, "AccessDenied"), "forbidden", "forbidden"},
		{"an expired token", saying(400, "ExpiredToken"), "forbidden", "forbidden"},
		{"a clock that is wrong", saying(403, "RequestTimeTooSkewed"), "forbidden", "forbidden"},
		{"damaged on the way", saying(400, "XAmzContentChecksumMismatch"), "unavailable", "unavailable"},
		{"another region", saying(301, "PermanentRedirect"), "", ""},
		{"the end of the connection at once", hangUp(false), "unknown", "unavailable"},
		{"the end of the connection after the request", hangUp(true), "unknown", "unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, n := answering(t, tt.answer)
			s := open(t, url, "")
			_, err := s.Put(context.Background(), "k", env.Bytes([]byte("text")), env.PutOpts{IfNoneMatch: true})
			if err == nil || kindsOf(err) != tt.put {
				t.Errorf("put: %v, which is %q, not %q", err, kindsOf(err), tt.put)
			}
			if n.Load() != 1 {
				t.Errorf("the put was sent %d times", n.Load())
			}
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 200 {
				t.Errorf("no clear line: %v", err)
			}
			_, _, err = s.Get(context.Background(), "k", env.GetOpts{})
			if err == nil || kindsOf(err) != tt.get {
				t.Errorf("get: %v, which is %q, not %q", err, kindsOf(err), tt.get)
			}
		})
	}
}

// TestNobodyThere: where nothing listens, nothing was done, also by a write.
func TestNobodyThere(t *testing.T) {
	versity.Setenv(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := open(t, "http://"+l.Addr().String(), "")
	_, err = s.Put(context.Background(), "k", env.Bytes([]byte("text")), env.PutOpts{IfNoneMatch: true})
	if kindsOf(err) != "unavailable" {
		t.Errorf("put: %v, which is %q", err, kindsOf(err))
	}
	if kindsOf(s.Delete(context.Background(), "k")) != "unavailable" {
		t.Errorf("delete: %v", err)
	}
}

// TestSilence: a put that was sent and not answered may have been done; a read
// just failed. Both say why they ended.
func TestSilence(t *testing.T) {
	release := make(chan struct{})
	url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	s := open(t, url, "")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Put(ctx, "k", env.Bytes([]byte("text")), env.PutOpts{})
	if kindsOf(err) != "unknown" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("put: %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, _, err = s.Get(ctx, "k", env.GetOpts{})
	if kindsOf(err) != "unavailable" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get: %v", err)
	}
}

// TestMissingBucket: a HEAD does not say what is missing, so it is found out.
func TestMissingBucket(t *testing.T) {
	url := fake(t)
	s, err := s3.Open(context.Background(), s3.Config{Bucket: "another-bucket", Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, err = s.Head(ctx, "k")
	if kindsOf(err) != "no bucket" {
		t.Errorf("head: %v", err)
	}
	if err := s.Delete(ctx, "k"); kindsOf(err) != "no bucket" {
		t.Errorf("delete: %v", err)
	}
	_, err = s.List(ctx, env.ListOpts{})
	if kindsOf(err) != "no bucket" {
		t.Errorf("list: %v", err)
	}
}

// TestCutBody: a body that ends before its end is told from a whole one.
func TestCutBody(t *testing.T) {
	for _, how := range []string{"closed", "reset"} {
		url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("ETag", `"e"`)
			w.Write(make([]byte, 100))
			c, _, _ := http.NewResponseController(w).Hijack()
			if how == "reset" {
				c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		})
		b, _, err := env.ReadObject(context.Background(), open(t, url, ""), "k")
		if k := kindsOf(err); k != "cut" && k != "unavailable" {
			t.Errorf("%s: %d bytes, %v", how, len(b), err)
		}
	}
}

// TestWrongRange: a server, or a proxy, that answers another range than it was
// asked for is not believed.
func TestWrongRange(t *testing.T) {
	for _, contentRange := range []string{"", "bytes 0-9/100", "bytes 10-19/15", "bytes 10-20/100", "nonsense"} {
		url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			w.Write(make([]byte, 10))
		})
		_, _, err := open(t, url, "").Get(context.Background(), "k", env.GetOpts{Off: 10, Len: 10})
		if kindsOf(err) != "corrupt" {
			t.Errorf("Content-Range %q: %v", contentRange, err)
		}
	}
}

// TestRot: bytes that changed on the server's disk are noticed.
func TestRot(t *testing.T) {
	versity.Setenv(t)
	server := versity.Start(t, bucket)
	s := open(t, server.URL, "p")
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	if _, err := s.Put(context.Background(), "k", env.Bytes(content), env.PutOpts{}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(server.Dir, bucket, "p", "k"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("X"), 50_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, _, err = env.ReadObject(context.Background(), s, "k"); kindsOf(err) != "corrupt" {
		t.Errorf("a damaged object: %v", err)
	}
}

// A changingBody is another one each time it is opened.
type changingBody struct{ n *int }

func (changingBody) Size() int64 { return 4 }
func (b changingBody) Open() (io.ReadCloser, error) {
	*b.n++
	return io.NopCloser(strings.NewReader(fmt.Sprintf("%04d", *b.n))), nil
}

// TestDamagedOnTheWay: what does not arrive as it was is not stored.
func TestDamagedOnTheWay(t *testing.T) {
	versity.Setenv(t)
	server := versity.Start(t, bucket)
	s := open(t, server.URL, "")
	n := 0
	_, err := s.Put(context.Background(), "k", changingBody{&n}, env.PutOpts{})
	if kindsOf(err) != "unavailable" {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Head(context.Background(), "k"); kindsOf(err) != "not found" {
		t.Errorf("head: %v", err)
	}
}

// TestCredentials: wrong ones and none.
func TestCredentials(t *testing.T) {
	versity.Setenv(t)
	server := versity.Start(t, bucket)
	t.Run("wrong", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		_, err := open(t, server.URL, "").List(context.Background(), env.ListOpts{})
		if kindsOf(err) != "forbidden" {
			t.Errorf("list: %v", err)
		}
	})
	t.Run("none", func(t *testing.T) {
		home := t.TempDir()
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
		t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
		_, err := s3.Open(context.Background(), s3.Config{Bucket: bucket, Endpoint: server.URL})
		if kindsOf(err) != "forbidden" || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
			t.Errorf("open: %v", err)
		}
	})
	t.Run("from a file", func(t *testing.T) {
		home := t.TempDir()
		file := filepath.Join(home, "credentials")
		text := fmt.Sprintf("[other]\naws_access_key_id = %s\naws_secret_access_key = %s\n", versity.AccessKey, versity.SecretKey)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		t.Setenv("AWS_PROFILE", "other")
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
		if _, err := open(t, server.URL, "").List(context.Background(), env.ListOpts{}); err != nil {
			t.Errorf("list: %v", err)
		}
	})
}

// TestKeys: keys that some S3 server cannot hold are refused before anything
// is sent, and two prefixes of a bucket are two stores.
func TestKeys(t *testing.T) {
	url := fake(t)
	s, other := open(t, url, "one"), open(t, url, "one-more/")
	ctx := context.Background()
	for _, key := range []string{"a//b", "/a", "a/", ".", "a/../b", "a b", "a\x00", "é", "a%2Fb", strings.Repeat("k", 1021)} {
		if _, err := s.Put(ctx, key, env.Bytes(nil), env.PutOpts{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put of %q: %v", key, err)
		}
	}
	if _, err := s.Put(ctx, strings.Repeat("k", 1020), env.Bytes(nil), env.PutOpts{}); err != nil {
		t.Error(err)
	}
	page, err := other.List(ctx, env.ListOpts{})
	if err != nil || len(page.Objects) != 0 {
		t.Errorf("the other prefix has %v, %v", page, err)
	}
}

// TestConfig: what cannot be meant is said before anything is sent.
func TestConfig(t *testing.T) {
	versity.Setenv(t)
	for _, tt := range []struct {
		c    s3.Config
		says string
	}{
		{s3.Config{}, "no name of a bucket"},
		{s3.Config{Bucket: "b", Endpoint: "localhost:9000"}, "want a URL"},
		{s3.Config{Bucket: "b", Prefix: "/x"}, "prefix"},
	} {
		if _, err := s3.Open(context.Background(), tt.c); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v, which does not say %q", tt.c, err, tt.says)
		}
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	if _, err := s3.Open(context.Background(), s3.Config{Bucket: "b"}); err == nil || !strings.Contains(err.Error(), "bucket_region") {
		t.Errorf("no region: %v", err)
	}
}
