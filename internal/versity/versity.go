// Package versity runs an S3 server for tests: versitygw, a process that keeps
// objects as files. It is built into the user's cache by scripts/setup.sh
// check, never through this module.
//
// Start at [Start].
package versity

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// version is the one that scripts/setup.sh builds.
const version = "v1.8.0"

// The credentials of every server of this package, and the region it says it
// is in.
const (
	AccessKey = "xenon-test"
	SecretKey = "xenon-test-secret"
	Region    = "us-east-1"
)

// patience is how long a server may take to answer; it is long, since tests
// run on machines that are busy.
const patience = time.Minute

// Find is the server's binary: that of XENON_VERSITYGW, else the one in the
// user's cache. Without one it skips the test, or fails it under XENON_NO_SKIP.
func Find(t testing.TB) string {
	t.Helper()
	name := os.Getenv("XENON_VERSITYGW")
	if name == "" {
		cache, err := os.UserCacheDir()
		if err == nil {
			name = filepath.Join(cache, "xenon", "versitygw-"+version)
		}
	}
	if _, err := os.Stat(name); err != nil {
		text := "skipped: needs versitygw " + version + ", an S3 server; scripts/setup.sh check builds it"
		if os.Getenv("XENON_NO_SKIP") != "" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return name
}

// A Server is one that runs.
type Server struct {
	URL string
	// Dir holds a directory for every bucket, and in it a file for every
	// object.
	Dir string

	bin, addr string
	t         testing.TB
	mu        sync.Mutex
	cmd       *exec.Cmd
	output    bytes.Buffer
}

// Start runs a server with the given buckets until the test ends.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	bin := Find(t)
	// Not t.TempDir: the server keeps what it knows of objects in extended
	// attributes, which file systems in memory may not have.
	dir, err := os.MkdirTemp("/var/tmp", "xenon-s3-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, b := range buckets {
		if err := os.Mkdir(filepath.Join(dir, b), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := &Server{URL: "http://" + addr, Dir: dir, bin: bin, addr: addr, t: t}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts the server again after Kill.
func (s *Server) Run() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.bin, "--port", s.addr, "--quiet", "posix", s.Dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey, "VGW_REGION="+Region)
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		// Any answer will do; this one needs no credentials.
		if r, err := http.Get(s.URL); err == nil {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			cmd.Wait()
			s.cmd = nil
			s.t.Fatalf("versitygw does not answer: %s", s.output.Bytes())
		}
	}
}

// Kill ends the server.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// Freeze stops the server where it is: it accepts connections, and answers
// nothing until Thaw.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets the server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		panic("versity: the server does not run")
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		panic(fmt.Sprintf("versity: %v", err))
	}
}

// Environ are the variables by which a client of the server finds its
// credentials, and no others.
func Environ() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_REGION=" + Region,
		"AWS_SESSION_TOKEN=", "AWS_PROFILE=", "AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL_S3=",
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// Setenv puts Environ into the environment of the test.
func Setenv(t testing.TB) {
	t.Helper()
	for _, kv := range Environ() {
		for i := range kv {
			if kv[i] == '=' {
				t.Setenv(kv[:i], kv[i+1:])
				break
			}
		}
	}
}
