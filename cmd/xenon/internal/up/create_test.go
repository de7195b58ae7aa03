package up

import (
	"io"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"xenon/cmd/xenon/internal/stock"
	"xenon/core/env"
	"xenon/realio"
)

func osFS(t *testing.T, dir string) env.FS {
	t.Helper()
	e := realio.New(realio.Options{Root: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(func() { e.Close() })
	return e.FS()
}

// TestSettingsOfTheCluster are those a server needs to have at least as large.
func TestSettingsOfTheCluster(t *testing.T) {
	c := stock.New(t)
	c.Append("postgresql.conf", "max_connections = 77\nmax_prepared_transactions = 5\nmax_locks_per_transaction = 99\nmax_wal_senders = 3\nmax_worker_processes = 11\n")
	c.Single("postgres", "SELECT 1")
	ctl, err := readControl(osFS(t, c.Dir))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"max_connections": "77", "max_prepared_transactions": "5", "max_locks_per_transaction": "99",
		"max_wal_senders": "3", "max_worker_processes": "11",
	}
	if d := cmp.Diff(want, controlSettings(ctl)); d != "" {
		t.Error(d)
	}
}

func TestVersionNumbers(t *testing.T) {
	for version, want := range map[string]uint32{"15.18": 150018, "15devel": 150000, "15rc1": 150000, "16.0": 160000} {
		if got := pgVersionNum(version); got != want {
			t.Errorf("%s is %d, want %d", version, got, want)
		}
	}
}

func TestFileNames(t *testing.T) {
	for locale, want := range map[string]string{"C.UTF-8": "C.UTF-8", "de_DE@euro": "de_DE_euro", "../../x": ".._.._x"} {
		if got := fileName(locale); got != want {
			t.Errorf("%s is kept as %s, want %s", locale, got, want)
		}
	}
}
