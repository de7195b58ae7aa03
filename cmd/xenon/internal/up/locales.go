package up

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"xenon/core"
)

// checkLocales refuses a cluster with a database whose locale this machine
// does not have: PostgreSQL would refuse every connection to it.
func checkLocales(dir string) error {
	wanted, err := databaseLocales(dir)
	if err != nil {
		return fmt.Errorf("import %s: look for the locales of its databases: %w", dir, err)
	}
	out, err := exec.Command("locale", "-a").Output()
	if err != nil {
		return fmt.Errorf("import %s: list this machine's locales: %w", dir, err)
	}
	var have []string
	for l := range strings.Lines(string(out)) {
		have = append(have, normalLocale(strings.TrimSpace(l)))
	}
	for _, w := range wanted {
		if !slices.Contains(have, normalLocale(w)) {
			return fmt.Errorf("import %s: this machine has no locale %s, which a database uses: make it with localedef, or apt-get install locales-all", dir, w)
		}
	}
	return nil
}

// normalLocale is a name as glibc compares it: the codeset in lower case with
// letters and digits alone.
func normalLocale(name string) string {
	base, codeset, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}
	return base + "." + strings.Map(keep, strings.ToLower(codeset))
}

const (
	// pg_database's OID, and where its file is named: the shared relation map
	// is a magic, a count, then pairs of OID and file
	// (src/backend/utils/cache/relmapper.c).
	databaseOID  = 1262
	relmapMagic  = 0x592717
	relmapLength = 512

	// Offsets in a tuple of pg_database in PostgreSQL 15
	// (src/include/catalog/pg_database.h): the provider of its locale, and the
	// first field of variable length, datcollate; datctype follows it.
	datLocProvider = 76
	datCollate     = 96
)

// databaseLocales are the collations and character types of all databases of
// a cluster that does not run.
func databaseLocales(dir string) ([]string, error) {
	m, err := os.ReadFile(filepath.Join(dir, "global", "pg_filenode.map"))
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(m) < relmapLength || le.Uint32(m) != relmapMagic {
		return nil, errors.New("global/pg_filenode.map is damaged")
	}
	var file uint32
	for i := 0; i < int(le.Uint32(m[4:])) && 16+8*i <= len(m); i++ {
		if le.Uint32(m[8+8*i:]) == databaseOID {
			file = le.Uint32(m[12+8*i:])
		}
	}
	heap, err := os.ReadFile(filepath.Join(dir, "global", fmt.Sprint(file)))
	if err != nil {
		return nil, err
	}
	var all []string
	for at := 0; at+core.PageSize <= len(heap); at += core.PageSize {
		all = append(all, pageLocales(heap[at:at+core.PageSize])...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Parts of a heap page (src/include/storage/bufpage.h, access/htup_details.h).
const (
	pageHeader   = 24
	itemNormal   = 1
	xmaxOffset   = 4
	infomask     = 20
	headerOffset = 22
	xmaxInvalid  = 0x0800
)

// pageLocales reads the tuples of a page of pg_database that nobody deleted.
func pageLocales(page []byte) (all []string) {
	le := binary.LittleEndian
	for at := pageHeader; at+4 <= int(le.Uint16(page[12:])) && at+4 <= len(page); at += 4 {
		item := le.Uint32(page[at:])
		off, state, size := int(item&0x7FFF), item>>15&3, int(item>>17)
		if state != itemNormal || off+size > len(page) || size < headerOffset+1 {
			continue
		}
		t := page[off : off+size]
		if le.Uint32(t[xmaxOffset:]) != 0 && le.Uint16(t[infomask:])&xmaxInvalid == 0 {
			continue
		}
		body := t[min(int(t[headerOffset]), len(t)):]
		if len(body) <= datCollate || body[datLocProvider] != 'c' {
			continue
		}
		rest := body[datCollate:]
		for range 2 {
			s, tail, ok := shortText(rest)
			if !ok {
				break
			}
			all, rest = append(all, s), tail
		}
	}
	return all
}

// shortText reads a text with a header of one byte, which a short one has
// (src/include/varatt.h, VARATT_IS_1B).
func shortText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || b[0]&1 == 0 {
		return "", nil, false
	}
	n := int(b[0] >> 1)
	if n < 1 || n > len(b) {
		return "", nil, false
	}
	return string(b[1:n]), b[n:], true
}
