package up

import (
	"bytes"
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
// does not have: PostgreSQL, of this major version, would refuse every connection
// to it.
func checkLocales(dir string, major int) error {
	wanted, err := databaseLocales(dir, major)
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
	databaseOID = 1262
	relmapMagic = 0x592717

	// datCollate is the offset of datcollate, the first field of variable length,
	// in a row of pg_database since 15 (src/include/catalog/pg_database.h);
	// datctype follows it. In 14 both are names of a fixed length.
	datCollate   = 96
	datCollate14 = 76
	nameLength   = 64
)

// databaseLocales are the collations and character types of all databases of
// a cluster that does not run. A database of the provider ICU has them too: a
// session sets both.
func databaseLocales(dir string, major int) ([]string, error) {
	m, err := os.ReadFile(filepath.Join(dir, "global", "pg_filenode.map"))
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(m) < 8 || le.Uint32(m) != relmapMagic {
		return nil, errors.New("global/pg_filenode.map is damaged")
	}
	var file uint32
	for at := 8; at+8 <= min(len(m), 8+8*int(le.Uint32(m[4:]))); at += 8 {
		if le.Uint32(m[at:]) == databaseOID {
			file = le.Uint32(m[at+4:])
		}
	}
	heap, err := os.ReadFile(filepath.Join(dir, "global", fmt.Sprint(file)))
	if err != nil {
		return nil, err
	}
	v := visibility{dir: dir, major: major}
	var all []string
	for at := 0; at+core.PageSize <= len(heap); at += core.PageSize {
		all = append(all, v.pageLocales(heap[at:at+core.PageSize])...)
	}
	if v.err != nil {
		return nil, v.err
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Parts of a heap page and of a tuple (src/include/storage/bufpage.h,
// access/htup_details.h).
const (
	pageHeader   = 24
	itemNormal   = 1
	xmaxOffset   = 4
	infomask     = 20
	headerOffset = 22

	xmaxLockOnly  = 0x0080
	xminCommitted = 0x0100
	xminInvalid   = 0x0200
	xmaxCommitted = 0x0400
	xmaxInvalid   = 0x0800
	xmaxMulti     = 0x1000
)

// A visibility tells which rows a session would see: nothing runs, so those
// whose transaction committed and that none deleted that did.
type visibility struct {
	dir   string // of the cluster
	major int
	err   error // the first
}

// pageLocales reads the rows of a page of pg_database that are to be seen.
func (v *visibility) pageLocales(page []byte) (all []string) {
	le := binary.LittleEndian
	for at := pageHeader; at+4 <= min(int(le.Uint16(page[12:])), len(page)); at += 4 {
		item := le.Uint32(page[at:])
		off, state, size := int(item&0x7FFF), item>>15&3, int(item>>17)
		if state != itemNormal || off+size > len(page) || size <= headerOffset {
			continue
		}
		t := page[off : off+size]
		body := t[min(int(t[headerOffset]), len(t)):]
		if v.visible(t) {
			all = append(all, rowLocales(body, v.major)...)
		}
	}
	return all
}

// rowLocales are datcollate and datctype of a row without its header.
func rowLocales(row []byte, major int) (two []string) {
	if major < 15 {
		for at := datCollate14; at+nameLength <= min(len(row), datCollate14+2*nameLength); at += nameLength {
			name, _, _ := bytes.Cut(row[at:at+nameLength], []byte{0})
			two = append(two, string(name))
		}
		return two
	}
	for rest := row[min(datCollate, len(row)):]; len(two) < 2; {
		s, tail, ok := shortText(rest)
		if !ok {
			break
		}
		two, rest = append(two, s), tail
	}
	return two
}

// visible tells whether a session would see a tuple. One that a multixact
// updated counts as seen: too many locales are asked for rather than too few.
func (v *visibility) visible(t []byte) bool {
	xmin, xmax := binary.LittleEndian.Uint32(t), binary.LittleEndian.Uint32(t[xmaxOffset:])
	mask := binary.LittleEndian.Uint16(t[infomask:])
	if mask&xminCommitted == 0 && (mask&xminInvalid != 0 || !v.committed(xmin)) {
		return false
	}
	if xmax == 0 || mask&(xmaxInvalid|xmaxLockOnly|xmaxMulti) != 0 {
		return true
	}
	return mask&xmaxCommitted == 0 && !v.committed(xmax)
}

const (
	// firstNormal is FirstNormalTransactionId (src/include/access/transam.h):
	// those below committed for ever.
	firstNormal = 3
	// Two bits for each transaction, four in a byte
	// (src/backend/access/transam/clog.c).
	clogSegment   = core.SLRUSegmentPages * core.PageSize * 4 // transactions in a file
	clogCommitted = 1
)

// committed looks a transaction up in pg_xact.
func (v *visibility) committed(xid uint32) bool {
	if xid < firstNormal {
		return true
	}
	name := filepath.Join(v.dir, "pg_xact", fmt.Sprintf("%04X", xid/clogSegment))
	f, err := os.Open(name)
	if err == nil {
		defer f.Close()
		var b [1]byte
		if _, err = f.ReadAt(b[:], int64(xid%clogSegment/4)); err == nil {
			return b[0]>>(xid%4*2)&3 == clogCommitted
		}
	}
	if v.err == nil {
		v.err = fmt.Errorf("look transaction %d up in %s: %w", xid, name, err)
	}
	return true
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
