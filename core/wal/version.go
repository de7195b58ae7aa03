package wal

import "fmt"

// A Version is one major version of PostgreSQL as its WAL shows it. Every
// constant that changed between versions is a field here; nothing else in the
// package asks for a number.
type Version struct {
	// Major is the major version, as in "PostgreSQL 15".
	Major int
	// Magic is XLOG_PAGE_MAGIC (src/include/access/xlog_internal.h).
	Magic uint16
	// ControlVersion is PG_CONTROL_VERSION (src/include/catalog/pg_control.h).
	ControlVersion uint32

	image imageFlags
}

// imageFlags are the bits of bimg_info (src/include/access/xlogrecord.h). They
// moved between 14 and 15, so they are never constants.
type imageFlags struct{ hole, apply, pglz, lz4, zstd uint8 }

func (f imageFlags) compressed() uint8 { return f.pglz | f.lz4 | f.zstd }

// PG15 is PostgreSQL 15.
var PG15 = &Version{
	Major: 15, Magic: 0xD110, ControlVersion: 1300,
	image: imageFlags{hole: 0x01, apply: 0x02, pglz: 0x04, lz4: 0x08, zstd: 0x10},
}

// versions are the majors whose records are understood.
var versions = []*Version{PG15}

// named are the majors that are recognised by their page magic and refused:
// reading their records with another version's tables would give wrong pages.
var named = map[uint16]int{0xD10D: 14, 0xD113: 16, 0xD116: 17, 0xD118: 18}

// VersionByMagic finds the version that writes pages with a magic number. The
// error of a known but unsupported version names it.
func VersionByMagic(magic uint16) (*Version, error) {
	for _, v := range versions {
		if v.Magic == magic {
			return v, nil
		}
	}
	if major, ok := named[magic]; ok {
		return nil, fmt.Errorf("WAL of PostgreSQL %d (page magic %04X) is not supported: use PostgreSQL 15", major, magic)
	}
	return nil, fmt.Errorf("page magic %04X is of no known PostgreSQL version: want PostgreSQL 15 (D110)", magic)
}

// VersionByMajor finds a version by its number.
func VersionByMajor(major int) (*Version, error) {
	for _, v := range versions {
		if v.Major == major {
			return v, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL %d is not supported: use PostgreSQL 15", major)
}

func (v *Version) String() string { return fmt.Sprintf("PostgreSQL %d", v.Major) }
