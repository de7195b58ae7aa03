package corpus_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/internal/corpus"
)

func TestMakeRefusesAnUnknownWorkload(t *testing.T) {
	err := corpus.Make(t.Context(), filepath.Join(t.TempDir(), "c"), "smok", corpus.Options{})
	if err == nil || !strings.Contains(err.Error(), "smoke") {
		t.Errorf("error %v, want the names there are", err)
	}
}

func TestMakeSmoke(t *testing.T) {
	if err := corpus.Available(15); err != nil {
		if os.Getenv("XENON_NO_SKIP") == "1" {
			t.Fatal(err)
		}
		t.Skipf("skipped: %v", err)
	}
	root, err := os.MkdirTemp("/var/tmp", "xenon-corpus-") // the server's user must be let in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "smoke")
	// Checksums, compression and images of first touches: what the other tests leave out.
	o := corpus.Options{Rows: 50, Checksums: true, FullPageWrites: true, Compression: "pglz"}
	if err := corpus.Make(t.Context(), dir, "smoke", o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initial/global/pg_control", "final/global/pg_control", "replayed/global/pg_control"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if segments, _ := filepath.Glob(filepath.Join(dir, "wal", "0*")); len(segments) == 0 {
		t.Error("no WAL")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("the data directory was left behind")
	}
}
