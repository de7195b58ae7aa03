package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/home"
)

// TestNoAnswer: an installation whose process stands still is named, and
// nobody waits for it for ever.
func TestNoAnswer(t *testing.T) {
	h, err := home.Open(t.TempDir(), 15)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := os.MkdirAll(filepath.Dir(home.Socket(h.Dir)), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := ctl.Listen(home.Socket(h.Dir)) // and takes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = askStatusWithin(&Globals{Stderr: &strings.Builder{}}, h.Dir, 50*time.Millisecond)
	if want := fmt.Sprintf("pid %d does not answer", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}
