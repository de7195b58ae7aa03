package pgdist_test

import (
	"path/filepath"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/pgdist"
)

func TestForMajor(t *testing.T) {
	t.Setenv("XENON_PG_BIN", "")
	t.Setenv("XENON_PG_DIR", t.TempDir())
	old, young := fake(t, "postgres (PostgreSQL) 14.2"), fake(t, "postgres (PostgreSQL) 18.1")
	for _, dirs := range [][]string{{young}, {"", young}, {old, young}, {filepath.Join(old, "gone"), young}} {
		if d, err := pgdist.ForMajor(18, dirs...); err != nil || d.Dir != young {
			t.Errorf("18 in %v: %+v, %v", dirs, d, err)
		}
	}
	if _, err := pgdist.ForMajor(99, old, young); err == nil || !strings.Contains(err.Error(), "PostgreSQL 99") || !strings.Contains(err.Error(), "--pg-bin") {
		t.Errorf("a major that is nowhere: %v", err)
	}
}
