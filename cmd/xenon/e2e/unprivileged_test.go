package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/pgdist"
)

// A plainUser runs the binary without any right, in a directory of its own.
type plainUser struct {
	t    *testing.T
	cred *syscall.Credential // nil if we have no right ourselves
	exe  string
	home string
}

// asPlainUser prepares a run as PostgreSQL's user, or as ourselves where we
// are not root.
func asPlainUser(t *testing.T) *plainUser {
	t.Helper()
	needs(t)
	u := &plainUser{t: t, exe: bin(t), home: workDir(t)}
	if os.Getuid() == 0 {
		who, err := pgdist.RunAs("postgres")
		if err != nil {
			t.Fatal(err)
		}
		u.cred = &syscall.Credential{Uid: who.UID, Gid: who.GID, Groups: []uint32{}}
		if err := os.Chown(u.home, int(who.UID), int(who.GID)); err != nil {
			t.Fatal(err)
		}
		u.exe = filepath.Join(u.home, "xenon")
		if err := copyProgram(bin(t), u.exe); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func copyProgram(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	return err
}

func (u *plainUser) command(args ...string) *exec.Cmd {
	cmd := exec.Command(u.exe, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + u.home, "PATH=/usr/local/bin:/usr/bin:/bin", "XENON_PG_BIN=" + os.Getenv("XENON_PG_BIN")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.cred}
	return cmd
}

// run runs a command to its end.
func (u *plainUser) run(args ...string) (string, error) {
	out, err := u.command(args...).CombinedOutput()
	return string(out), err
}

// openFuse lets everybody mount for the length of the test, as distributions
// do.
func (u *plainUser) openFuse() {
	u.t.Helper()
	info, err := os.Stat("/dev/fuse")
	if err != nil {
		u.t.Fatal(err)
	}
	if u.cred == nil || info.Mode().Perm()&0o006 == 0o006 {
		return
	}
	if err := os.Chmod("/dev/fuse", 0o666); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { os.Chmod("/dev/fuse", info.Mode().Perm()) })
}

// TestUnprivileged starts, uses and stops an installation without root: the
// mounts are fusermount3's, and the server runs as the caller.
func TestUnprivileged(t *testing.T) {
	u := asPlainUser(t)
	if _, err := exec.LookPath("fusermount3"); err != nil {
		if os.Getenv("XENON_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skip("skipped: needs fusermount3 (apt-get install fuse3)")
	}
	u.openFuse()
	dir := filepath.Join(u.home, ".xenon") // the default, found by HOME
	for round := range 2 {
		up := u.command("up")
		var out bytes.Buffer
		lines := make(chan struct{})
		up.Stderr = &out
		up.Stdout = &readyWriter{ready: lines}
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- up.Wait() }()
		select {
		case <-lines:
		case err := <-ended:
			t.Fatalf("up ended before it was ready: %v\n%s", err, out.String())
		case <-time.After(patience):
			up.Process.Kill()
			t.Fatalf("up is not ready\n%s", out.String())
		}
		if got, err := u.run("psql", "main", "-c", "CREATE TABLE t"+strconv.Itoa(round)+" AS SELECT 42 AS n", "-c", "SELECT sum(n) FROM t0"); err != nil || !strings.Contains(got, "42") {
			t.Errorf("psql: %v, %s", err, got)
		}
		if got := mountsOf(t, dir); round == 0 && got != 2 {
			t.Errorf("%d mounts, want 2", got)
		}
		if got, err := u.run("stop"); err != nil {
			t.Errorf("stop: %v, %s", err, got)
		}
		if err := <-ended; err != nil {
			t.Errorf("up ends with %v\n%s", err, out.String())
		}
		if got := mountsOf(t, dir); got != 0 {
			t.Errorf("%d mounts are left", got)
		}
	}
}

// A readyWriter closes ready when a line with the URL was written to it.
type readyWriter struct {
	ready chan struct{}
	text  string
	done  bool
}

func (w *readyWriter) Write(p []byte) (int, error) {
	w.text += string(p)
	if !w.done && strings.Contains(w.text, "ready postgres://") {
		w.done = true
		close(w.ready)
	}
	return len(p), nil
}

// mountID is how the mounts of the installation in dir are named.
func mountID(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:4])
}

// mountsOf counts the mounts of the installation in dir.
func mountsOf(t *testing.T, dir string) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, " xenon:"+mountID(dir)+"/") {
			n++
		}
	}
	return n
}

// TestRefusedDirectories are directories that cannot be, or are not, ours.
func TestRefusedDirectories(t *testing.T) {
	u := asPlainUser(t)
	u.openFuse()
	make := func(name string, mode os.FileMode, files ...string) string {
		dir := filepath.Join(workDir(t), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(files); i += 2 {
			if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	file := filepath.Join(make("holder", 0o755, "file", "x"), "file")
	tests := []struct {
		name, dir string
		want      []string
	}{
		{"foreign", make("foreign", 0o777, "precious", "data"), []string{"is not empty", "precious", "--dir DIR"}},
		{"another format", make("later", 0o777, "xenon.toml", "format = 7\npostgres = 15\n"), []string{"format 7", "reads format 0"}},
		{"another major", make("older", 0o777, "xenon.toml", "format = 0\npostgres = 14\n"), []string{"PostgreSQL 14", "--pg-bin"}},
		{"not a directory", filepath.Join(file, "x"), []string{file, "not a directory", "--dir DIR"}},
		{"no file system of its own", "/proc/xenon", []string{"/proc", "--dir DIR"}},
	}
	if u.cred != nil {
		tests = append(tests, struct {
			name, dir string
			want      []string
		}{"unwritable", filepath.Join(make("root", 0o755), "x"), []string{"cannot be written", "permission denied", "--dir DIR"}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parent := filepath.Dir(test.dir)
			if parent == "/proc" {
				parent = t.TempDir() // nothing can be written there, and much changes
			}
			before := listing(t, parent)
			out, err := u.run("up", "--dir", test.dir)
			if err == nil || exitStatus(err) != 1 {
				t.Fatalf("ended with %v, want exit status 1\n%s", err, out)
			}
			for _, w := range test.want {
				if !strings.Contains(out, w) {
					t.Errorf("says %q, want %q in it", out, w)
				}
			}
			if after := listing(t, parent); after != before {
				t.Errorf("something was written; before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func exitStatus(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}

// listing is the names, sizes and times of all files below dir.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
