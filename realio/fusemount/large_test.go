package fusemount_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"xenon/compute/names"
	"xenon/compute/overlay"
	"xenon/realio"
	"xenon/realio/fusemount"
)

// TestLargeReads: the longest reads that there are come as they were written, and
// nothing is logged of them.
func TestLargeReads(t *testing.T) {
	needFUSE(t)
	e := realio.New(realio.Options{Root: t.TempDir()})
	t.Cleanup(func() { e.Close() })
	scratch, err := overlay.NewScratch(e, "scratch", 4)
	if err != nil {
		t.Fatal(err)
	}
	path, log := t.TempDir(), new(bytes.Buffer)
	m, err := fusemount.New(e.Context(), names.New(e, scratch), fusemount.Options{
		Path: path, ID: fmt.Sprintf("test%d/large", os.Getpid()), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	// Other processes do it: one that serves a mount must not use it.
	script := `head -c 4194304 /dev/urandom >"$2" && cp "$2" "$1/f" && dd if="$1/f" bs=1M iflag=direct status=none | cmp - "$2"`
	out, err := exec.Command("sh", "-c", script, "sh", path, plain).CombinedOutput()
	if uerr := m.Unmount(); err != nil || uerr != nil {
		t.Fatalf("%v, %v: %s", err, uerr, out)
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", log)
	}
}
