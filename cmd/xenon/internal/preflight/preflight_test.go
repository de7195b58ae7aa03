package preflight

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachFailureNamesTheRemedy(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no fuse device", checkFuse("/dev/no-such-device"), "--device /dev/fuse"},
		{"a port in use", checkPort(busy.Addr().String()), "--port N"},
		{"a directory below a file", checkDir(filepath.Join(file, "x")), "--dir DIR"},
		{"no shared memory", checkShm("/no/such/shm"), "mount -t tmpfs"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", test.err, test.want)
			}
		})
	}
}

func TestWhatIsFinePasses(t *testing.T) {
	if err := checkDir(filepath.Join(t.TempDir(), "not", "yet")); err != nil {
		t.Error(err)
	}
	if err := checkPort("127.0.0.1:0"); err != nil {
		t.Error(err)
	}
	if err := checkFiles(); err != nil {
		t.Error(err)
	}
}

// TestMtab: fusermount3 mounts without /etc/mtab, and then cannot unmount.
func TestMtab(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mtab")
	if err := checkMtab(name); err == nil || !strings.Contains(err.Error(), "ln -s /proc/self/mounts "+name) {
		t.Errorf("no mtab: %v", err)
	}
	if err := os.Symlink("/proc/self/mounts", name); err != nil {
		t.Fatal(err)
	}
	if err := checkMtab(name); err != nil {
		t.Error(err)
	}
}
