package wal

import (
	"fmt"

	"xenon/core/faults"
)

// A Version is one major version of PostgreSQL as its WAL and control file
// show it. Every constant of a format that changed between versions is a field
// here or in a table that hangs on one; nothing else in the package asks for a
// number.
type Version struct {
	// Major is the major version, as in "PostgreSQL 15".
	Major int
	// Magic is XLOG_PAGE_MAGIC (src/include/access/xlog_internal.h).
	Magic uint16
	// ControlVersion is PG_CONTROL_VERSION (src/include/catalog/pg_control.h).
	// Several majors share one.
	ControlVersion uint32
	// CatalogVersion is CATALOG_VERSION_NO (src/include/catalog/catversion.h) of
	// the major's releases; it tells majors apart that share a ControlVersion.
	CatalogVersion uint32
	// RelMapSize is the bytes of a relation map (pg_filenode.map):
	// sizeof(RelMapFile), src/backend/utils/cache/relmapper.c.
	RelMapSize int

	image   imageFlags
	control controlLayout
	xact    xactLayout
	ops     *opTable
	names   *opTable // those of ops with their managers'
	// checkPointLevel: checkpoints say what wal_level was.
	checkPointLevel bool
	// twoPhaseEpoch: files below pg_twophase are named with an epoch.
	twoPhaseEpoch bool
}

// imageFlags are the bits of bimg_info (src/include/access/xlogrecord.h). They
// moved between 14 and 15, so they are never constants. A bit of 0 is one that
// the version does not have.
type imageFlags struct{ hole, apply, pglz, lz4, zstd uint8 }

func (f imageFlags) compressed() uint8 { return f.pglz | f.lz4 | f.zstd }

var (
	image14 = imageFlags{hole: 0x01, pglz: 0x02, apply: 0x04}
	image15 = imageFlags{hole: 0x01, apply: 0x02, pglz: 0x04, lz4: 0x08, zstd: 0x10}
)

// The versions whose WAL is understood.
var (
	PG14 = &Version{
		Major: 14, Magic: 0xD10D, ControlVersion: 1300, CatalogVersion: 202107181, RelMapSize: 512,
		image: image14, control: control1300, xact: xact14, ops: ops14, names: names14,
	}
	PG15 = &Version{
		Major: 15, Magic: 0xD110, ControlVersion: 1300, CatalogVersion: 202209061, RelMapSize: 512,
		image: image15, control: control1300, xact: xact15, ops: ops15, names: names15,
	}
	PG16 = &Version{
		Major: 16, Magic: 0xD113, ControlVersion: 1300, CatalogVersion: 202307071, RelMapSize: 524,
		image: image15, control: control1300, xact: xact15, ops: ops15, names: names15,
	}
	PG17 = &Version{
		Major: 17, Magic: 0xD116, ControlVersion: 1700, CatalogVersion: 202406281, RelMapSize: 524,
		image: image15, control: control1300, xact: xact15, ops: ops17, names: names17,
		checkPointLevel: true, twoPhaseEpoch: true,
	}
	PG18 = &Version{
		Major: 18, Magic: 0xD118, ControlVersion: 1800, CatalogVersion: 202506291, RelMapSize: 524,
		image: image15, control: control1800, xact: xact18, ops: ops17, names: names17,
		checkPointLevel: true, twoPhaseEpoch: true,
	}
)

// Versions are the versions whose WAL is understood, oldest first.
var Versions = [...]*Version{PG14, PG15, PG16, PG17, PG18}

// Supported names the majors for messages, as in "14 to 18".
func Supported() string {
	return fmt.Sprintf("%d to %d", Versions[0].Major, Versions[len(Versions)-1].Major)
}

// VersionByMagic finds the version that writes pages with a magic number.
func VersionByMagic(magic uint16) (*Version, error) {
	for _, v := range Versions {
		if v.Magic == magic {
			return v, nil
		}
	}
	return nil, fmt.Errorf("page magic %04X is of no supported PostgreSQL: use PostgreSQL %s", magic, Supported())
}

// VersionByMajor finds a version by its number.
func VersionByMajor(major int) (*Version, error) {
	for _, v := range Versions {
		if v.Major == major {
			return v, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL %d is not supported: use PostgreSQL %s", major, Supported())
}

// versionByControl finds the version of a control file. The majors with one
// layout are told apart by the catalog, which also keeps out the development
// versions of each: their catalogs and records are not those of the release.
func versionByControl(control, catalog uint32) (*Version, error) {
	known := false
	for _, v := range Versions {
		any := faults.On && faults.Hit(faults.ControlOfFirst)
		if v.ControlVersion == control && (v.CatalogVersion == catalog || any) {
			return v, nil
		}
		known = known || v.ControlVersion == control
	}
	if known {
		return nil, fmt.Errorf("pg_control version %d with catalog version %d is of no release of PostgreSQL %s", control, catalog, Supported())
	}
	return nil, fmt.Errorf("pg_control version %d is not supported: want one of PostgreSQL %s", control, Supported())
}

func (v *Version) String() string { return fmt.Sprintf("PostgreSQL %d", v.Major) }

// orDefault is v, or [PG15] for the nil of a record that was made by hand.
func (v *Version) orDefault() *Version {
	if v == nil {
		return PG15
	}
	return v
}
