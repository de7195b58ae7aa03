package up

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/stock"
	"xenon/core/wal"
)

func TestNormalLocale(t *testing.T) {
	same := [][]string{
		{"C.UTF-8", "C.utf8", "C.UTF8"},
		{"de_DE.UTF-8@euro", "de_DE.utf8@euro"},
		{"C"},
		{"POSIX"},
		{"de_DE"},
		{"de_DE@euro"},
		{"de_DE.ISO-8859-15", "de_DE.iso885915"},
	}
	for i, names := range same {
		for _, n := range names {
			if got := normalLocale(n); got != normalLocale(names[0]) {
				t.Errorf("%s is %s, and %s is %s", n, got, names[0], normalLocale(names[0]))
			}
		}
		if i > 0 && normalLocale(names[0]) == normalLocale(same[i-1][0]) {
			t.Errorf("%s and %s are one", names[0], same[i-1][0])
		}
	}
}

// TestLocalesOfDatabases reads the catalog of a cluster that plain PostgreSQL
// has changed.
func TestLocalesOfDatabases(t *testing.T) {
	c := stock.Of(t, stock.FindMajor(t, 15))
	c.Single("postgres",
		"CREATE DATABASE mixed TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
		"CREATE DATABASE gone TEMPLATE template0 LOCALE 'POSIX'",
		"DROP DATABASE gone",
		"CREATE DATABASE moved",
		"UPDATE pg_database SET datcollate = 'xx_OLD.UTF-8' WHERE datname = 'moved'",
		"UPDATE pg_database SET datcollate = 'xx_NEW.UTF-8' WHERE datname = 'moved'",
		"BEGIN",
		"UPDATE pg_database SET datcollate = 'xx_NEVER.UTF-8' WHERE datname = 'moved'",
		"ROLLBACK",
		"CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'",
		"UPDATE pg_database SET datctype = 'xx_ICU.UTF-8' WHERE datname = 'icu'",
		"BEGIN",
		"SELECT 1 FROM pg_database FOR UPDATE",
		"ROLLBACK")
	want := []string{"C", "C.UTF-8", "xx_ICU.UTF-8", "xx_NEW.UTF-8"}
	got, err := databaseLocales(c.Dir, 15)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	if err := checkLocales(c.Dir, 15); err == nil || !strings.Contains(err.Error(), "no locale xx_ICU.UTF-8") || !strings.Contains(err.Error(), "localedef") {
		t.Errorf("with a missing locale: %v", err)
	}
	c.Single("postgres", "UPDATE pg_database SET datctype = 'C', datcollate = 'C' WHERE datname IN ('icu', 'moved')", "VACUUM FREEZE pg_database")
	if err := checkLocales(c.Dir, 15); err != nil {
		t.Errorf("with locales that are there: %v", err)
	}
}

// TestLocalesOfOtherMajors: the rows of 14 are others, those of 15 go for all since.
func TestLocalesOfOtherMajors(t *testing.T) {
	for _, v := range []*wal.Version{wal.PG14, wal.PG18} {
		t.Run(fmt.Sprint(v.Major), func(t *testing.T) {
			t.Parallel()
			c := stock.Of(t, stock.FindMajor(t, v.Major))
			c.Single("postgres", "CREATE DATABASE mixed TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'")
			got, err := databaseLocales(c.Dir, v.Major)
			if want := []string{"C", "C.UTF-8"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

func TestDamagedCatalogsAreErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "global"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := databaseLocales(dir, 15); err == nil {
		t.Error("no relation map is no error")
	}
	if err := os.WriteFile(filepath.Join(dir, "global", "pg_filenode.map"), make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := databaseLocales(dir, 15); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a relation map of zeroes: %v", err)
	}
	if _, err := readControl(osFS(t, dir)); err == nil {
		t.Error("no control file is no error")
	}
}

// FuzzPageLocales gives any bytes as a page of pg_database.
func FuzzPageLocales(f *testing.F) {
	page := make([]byte, 8192)
	page[12], page[13] = 0xFF, 0xFF
	page[24], page[25], page[26], page[27] = 0x00, 0x9F, 0xFF, 0x00
	f.Add(page)
	f.Fuzz(func(t *testing.T, page []byte) {
		if len(page) < 16 {
			return
		}
		for _, major := range []int{14, 15} {
			v := visibility{dir: t.TempDir(), major: major}
			v.pageLocales(page)
		}
	})
}
