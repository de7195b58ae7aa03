package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/remote"
	"xenon/core/env"
	"xenon/internal/versity"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want remote.Config
		err  string
	}{
		{url: "file:///a/b/../c/", want: remote.Config{LocalPath: "/a/c"}},
		{url: "s3://bucket", want: remote.Config{BucketName: "bucket"}},
		{url: "s3://bucket/a/b/", want: remote.Config{BucketName: "bucket", PrefixInBucket: "a/b"}},
		{url: "s3://bucket/p?endpoint=http://127.0.0.1:9000&region=eu-1", want: remote.Config{BucketName: "bucket", PrefixInBucket: "p", Endpoint: "http://127.0.0.1:9000", BucketRegion: "eu-1"}},
		{url: "file://host/a", err: "want file:///path"},
		{url: "file:///", err: "want file:///path"},
		{url: "/a/b", err: "want file:///path"},
		{url: "s3:///p", err: "s3://bucket/prefix"},
		{url: "gs://bucket", err: "s3://bucket/prefix"},
		{url: "s3://bucket/p?endpiont=x", err: "endpiont"},
		{url: "s3://bucket/p?region=a&region=b", err: "region"},
		{url: "s3://buck et", err: "buck et"},
		{url: "s3://key:secret@bucket/p", err: "credentials"},
		{url: "s3://bucket:9000/p", err: "s3://bucket/prefix"},
	} {
		got, err := remote.ParseURL(tt.url)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, which does not say %q", tt.url, err, tt.err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.url, got, err)
		}
		again, err := remote.ParseURL(got.String())
		if err != nil || again != got {
			t.Errorf("%s is written as %s, which is %+v, %v", tt.url, got, again, err)
		}
	}
}

// TestConfigured: what the table remote_storage may say.
func TestConfigured(t *testing.T) {
	for _, tt := range []struct{ setting, err string }{
		{"remote_storage={local_path='/a'}", ""},
		{"remote_storage={bucket_name='b', bucket_region='r', prefix_in_bucket='p', endpoint='http://h'}", ""},
		{"remote_storage={}", "remote_storage.local_path"},
		{"remote_storage={bucket_region='r'}", "remote_storage.local_path"},
		{"remote_storage={local_path='/a', bucket_name='b'}", "one of them"},
		{"remote_storage={container_name='c', storage_account='a'}", "not supported yet"},
		{"remote_storage={buket_name='b'}", "did you mean remote_storage.bucket_name?"},
	} {
		var c struct {
			Remote remote.Config `toml:"remote_storage"`
		}
		err := conf.Load("", []string{tt.setting}, &c)
		if err == nil {
			err = c.Remote.Check()
		}
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, which does not say %q", tt.setting, err, tt.err)
		}
	}
}

const patience = 200 * time.Millisecond

// fake is a bucket in this process.
func fake(t *testing.T) remote.Config {
	t.Helper()
	versity.Setenv(t)
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return remote.Config{BucketName: "bucket", PrefixInBucket: "p", Endpoint: server.URL}
}

func dir(t *testing.T) remote.Config {
	return remote.Config{LocalPath: filepath.Join(t.TempDir(), "objects")}
}

func open(t *testing.T, c remote.Config) remote.Store {
	t.Helper()
	s, err := c.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func claim(c remote.Config, s env.ObjectStore, old bool) error {
	return c.Claim(context.Background(), s, "/dir", old, patience)
}

// refused checks that an error is one line that says all of that, and that
// the store has the objects it had.
func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Error("it was not refused")
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q does not say %q in one line", err, s)
		}
	}
}

func keys(t *testing.T, s env.ObjectStore) string {
	t.Helper()
	page, err := s.List(context.Background(), env.ListOpts{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range page.Objects {
		all = append(all, m.Key)
	}
	return strings.Join(all, " ")
}

// TestClaim: a place belongs to one installation, from the first claim on.
func TestClaim(t *testing.T) {
	for name, place := range map[string]func(*testing.T) remote.Config{"directory": dir, "bucket": fake} {
		t.Run(name, func(t *testing.T) {
			mine := place(t)
			theirs := mine
			mine.Installation, theirs.Installation = remote.NewID(), remote.NewID()
			s := open(t, mine)
			for range 2 {
				if err := claim(mine, s, false); err != nil {
					t.Fatal(err)
				}
			}
			if got := keys(t, s); got != "installation" {
				t.Errorf("the store has %q", got)
			}
			err := claim(theirs, s, false)
			refused(t, err, mine.Installation, "/dir", mine.String(), "--remote")
			if !errors.Is(err, remote.ErrTaken) {
				t.Error(err)
			}
			refused(t, theirs.Verify(context.Background(), s, patience), mine.Installation)
			nobody := mine
			nobody.Installation = ""
			for _, c := range []remote.Config{mine, nobody} {
				if err := c.Verify(context.Background(), s, patience); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestClaimsRace: of many installations that claim a place at once, one gets it.
func TestClaimsRace(t *testing.T) {
	c := fake(t)
	s := open(t, c)
	var mu sync.Mutex
	var won int
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			c := c
			c.Installation = remote.NewID()
			err := claim(c, s, false)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, remote.ErrTaken) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won != 1 {
		t.Errorf("%d installations have the place", won)
	}
}

// TestStrangers: a store with objects of somebody else, of a newer xenon, or
// with a mark that is damaged is refused, and left as it is.
func TestStrangers(t *testing.T) {
	for _, tt := range []struct {
		name, key, text string
		says            []string
	}{
		{"photographs", "holiday/1.jpeg", "JFIF", []string{"holiday/1.jpeg", "not of xenon"}},
		{"a newer format", "installation", `{"xenon_format": 7, "installation": "0123", "more": [1]}`, []string{"format 7", "reads format 0"}},
		{"another mark", "installation", "hello", []string{"installation", "no mark"}},
		{"a large mark", "installation", strings.Repeat(" ", 100_000), []string{"installation", "too many"}},
		{"an empty mark", "installation", "", []string{"no mark"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fake(t)
			c.Installation = remote.NewID()
			s := open(t, c)
			if _, err := s.Put(context.Background(), tt.key, env.Bytes([]byte(tt.text)), env.PutOpts{}); err != nil {
				t.Fatal(err)
			}
			refused(t, claim(c, s, false), append(tt.says, c.String())...)
			if got := keys(t, s); got != tt.key {
				t.Errorf("the store has %q", got)
			}
		})
	}
}

// TestOld: an installation that is older than marks keeps its objects.
func TestOld(t *testing.T) {
	c := dir(t)
	c.Installation = remote.NewID()
	s := open(t, c)
	if _, err := s.Put(context.Background(), "branches/main/branch", env.Bytes(nil), env.PutOpts{}); err != nil {
		t.Fatal(err)
	}
	if err := claim(c, s, true); err != nil {
		t.Error(err)
	}
}

// A careless store takes every put, whatever its conditions.
type careless struct {
	env.ObjectStore
	create bool // conditions of creation are ignored, those of change are not
}

func (c careless) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if c.create {
		o.IfNoneMatch = false
	} else {
		o.IfMatch = ""
	}
	return c.ObjectStore.Put(ctx, key, b, o)
}

// TestCarelessStore: a store that ignores conditions is not used.
func TestCarelessStore(t *testing.T) {
	for _, create := range []bool{true, false} {
		c := dir(t)
		c.Installation = remote.NewID()
		refused(t, claim(c, careless{open(t, c), create}, false), "ignores the conditions")
	}
}

// A lossy store executes every write and loses every other answer.
type lossy struct {
	env.ObjectStore
	n *int
}

func (l lossy) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	m, err := l.ObjectStore.Put(ctx, key, b, o)
	if *l.n++; *l.n%2 == 1 {
		return env.ObjectMeta{}, env.ErrUnknown
	}
	return m, err
}

func TestLostAnswers(t *testing.T) {
	c := dir(t)
	c.Installation = remote.NewID()
	n := 0
	if err := c.Claim(context.Background(), lossy{open(t, c), &n}, "/dir", false, time.Minute); err != nil {
		t.Error(err)
	}
}

// TestUnusable: a bucket that is not there, may not be used, or does not
// answer is one clear line each.
func TestUnusable(t *testing.T) {
	ctx := context.Background()
	t.Run("missing", func(t *testing.T) {
		c := fake(t)
		c.BucketName = "another"
		refused(t, c.Verify(ctx, open(t, c), patience), "s3://another/p", "no such bucket", "make the bucket")
	})
	t.Run("forbidden", func(t *testing.T) {
		versity.Setenv(t)
		server := versity.Start(t, "bucket")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		c := remote.Config{BucketName: "bucket", Endpoint: server.URL}
		err := c.Verify(ctx, open(t, c), patience)
		refused(t, err, "s3://bucket", "access denied", "AWS_ACCESS_KEY_ID")
		if remote.Unreachable(err) {
			t.Error("it counts as unreachable")
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		versity.Setenv(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		c := remote.Config{BucketName: "bucket", Endpoint: "http://" + l.Addr().String()}
		err = c.Verify(ctx, open(t, c), patience)
		refused(t, err, "s3://bucket", "connection refused", "is it running")
		if !remote.Unreachable(err) {
			t.Error("it does not count as unreachable")
		}
	})
	t.Run("no answer", func(t *testing.T) {
		versity.Setenv(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go io.Copy(io.Discard, c)
			}
		}()
		c := remote.Config{BucketName: "bucket", Endpoint: "http://" + l.Addr().String()}
		err = c.Verify(ctx, open(t, c), patience)
		refused(t, err, "s3://bucket", "is it running")
	})
}

// TestNoStore: what cannot be opened is nil, also for whoever asks the interface.
func TestNoStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := (remote.Config{LocalPath: filepath.Join(file, "objects")}).Open(t.Context()); err == nil || s != nil {
		t.Errorf("a store below a file: %v, %v", s, err)
	}
}
