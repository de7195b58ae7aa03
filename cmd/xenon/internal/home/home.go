// Package home is the directory an installation lives in: where it is, what
// is in it, of which format it is, and who uses it now.
//
// Start at [Find] and [Open].
package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// Format is the version of the layout below DIR. It stays 0 until the storage
// formats are final; another one is refused.
const Format = 0

// Name is the directory that Find looks for.
const Name = ".xenon"

// Find decides which directory a command means: the flag, else $XENON_DIR,
// else ./.xenon in this directory or one above it, else ~/.xenon. It need not
// exist.
func Find(flag string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	if dir := os.Getenv("XENON_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the current directory: %w", err)
	}
	for at := wd; ; at = filepath.Dir(at) {
		if dir := filepath.Join(at, Name); isDir(dir) {
			return dir, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no directory given and no home directory: use --dir DIR: %w", err)
	}
	return filepath.Join(user, Name), nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// A Home is an opened directory. Its lock is held until Close or the end of
// the process.
type Home struct {
	Dir   string
	Major int // of PostgreSQL; the one it was made with
	lock  *os.File
}

// A mark is the file DIR/xenon.toml: what made this directory.
type mark struct {
	Format   int `toml:"format" comment:"layout of this directory"`
	Postgres int `toml:"postgres" comment:"major version of PostgreSQL it was made with"`
}

const (
	markName = "xenon.toml"
	lockName = "lock"
)

// An InUseError says who holds the directory.
type InUseError struct {
	Dir string
	PID int // 0 if unknown
}

func (e InUseError) Error() string {
	return fmt.Sprintf("%s is in use by xenon with pid %d: stop it with xenon stop --dir %s", e.Dir, e.PID, e.Dir)
}

// Open makes dir if it is missing, checks that it is ours, of this format and
// of this major version, and locks it. It writes nothing into a directory it
// refuses.
func Open(dir string, major int) (*Home, error) {
	if err := vet(dir, major); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make %s: %w; choose another with --dir DIR", dir, err)
	}
	lock, err := take(dir)
	if err != nil {
		return nil, err
	}
	h := &Home{Dir: dir, Major: major, lock: lock}
	if _, err := os.Stat(h.Path(markName)); errors.Is(err, fs.ErrNotExist) {
		b, err := toml.Marshal(mark{Format: Format, Postgres: major})
		if err == nil {
			err = WriteFile(h.Path(markName), b, 0o644)
		}
		if err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// Major is the major version of PostgreSQL that a directory was made with, 0 if
// that is not known: it is new, or not ours.
func Major(dir string) int {
	var m mark
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if err != nil || toml.Unmarshal(b, &m) != nil {
		return 0
	}
	return m.Postgres
}

// vet refuses a directory that is somebody else's, or ours of another time.
func vet(dir string, major int) error {
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return vetUnmarked(dir)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w; choose another directory with --dir DIR", filepath.Join(dir, markName), err)
	}
	var m mark
	if err := toml.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, markName), err)
	}
	if m.Format != Format {
		return fmt.Errorf("%s has format %d, this xenon reads format %d: use the xenon that made it, or another --dir", dir, m.Format, Format)
	}
	if m.Postgres != major {
		return fmt.Errorf("%s was made with PostgreSQL %d, this is PostgreSQL %d: give the binaries of %d with --pg-bin, or another --dir", dir, m.Postgres, major, m.Postgres)
	}
	return nil
}

// vetUnmarked accepts a directory that is missing, empty, or holds only our
// lock: a crash between the lock and the mark leaves that.
func vetUnmarked(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w; choose another with --dir DIR", dir, err)
	}
	for _, e := range entries {
		if e.Name() != lockName && !strings.HasPrefix(e.Name(), markName) {
			return fmt.Errorf("%s is not empty and not made by xenon (it holds %s): choose another with --dir DIR", dir, e.Name())
		}
	}
	return nil
}

func take(dir string) (*os.File, error) {
	name := filepath.Join(dir, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w; choose another with --dir DIR", dir, err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		pid := readPID(f)
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, InUseError{Dir: dir, PID: pid}
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return f, nil
}

func readPID(f *os.File) int {
	var buf [32]byte
	n, _ := f.ReadAt(buf[:], 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}

// Holder is the pid of the process that holds dir, or 0 if nobody does. It
// takes no lock to find out: one who starts meanwhile is not disturbed.
func Holder(dir string) int {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return 0
	}
	return readPID(f)
}

// Close gives the directory back.
func (h *Home) Close() { h.lock.Close() }

// Path is a name below the directory.
func (h *Home) Path(elem ...string) string {
	return filepath.Join(append([]string{h.Dir}, elem...)...)
}

// Socket is where the running installation takes commands.
func Socket(dir string) string { return filepath.Join(dir, "run", "control.sock") }

// WriteFile replaces a file so that a crash leaves the old one or the new one.
func WriteFile(name string, b []byte, perm os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	for _, step := range []func() error{func() error { return f.Chmod(perm) }, f.Sync, f.Close} {
		if serr := step(); err == nil {
			err = serr
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
