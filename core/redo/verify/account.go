package verify

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"strings"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// Why a file or fork of replayed/ is not compared.
const (
	freeSpace = "free space maps are not logged: a replay fills them by its own guesses, and a page that lacks room says so"
	unlogged  = "relations that are not logged begin anew where a server starts: only their init fork counts"
	control   = "the control file of a recovery: its counters are held to the checkpoints in the WAL, its settings to pg_control of replayed/"
)

// notCompared are the files of a data directory that are no part of what a
// cluster knows, by pattern (path.Match), and why.
var notCompared = []struct{ pattern, reason string }{
	{"global/pg_control", control},
	{"pg_subtrans/*", "who is whose subtransaction: begins anew where a server starts"},
	{"pg_notify/*", "notifications: begin anew where a server starts"},
	{"pg_serial/*", "conflicts of serializable transactions: begin anew where a server starts"},
	{"pg_stat/*", "statistics: of the server, not of the cluster"},
	{"pg_stat_tmp/*", "statistics: of the server, not of the cluster"},
	{"pg_logical/mappings/*", "mappings of rewritten catalogs: for replication slots, which belong to a server"},
	{"PG_VERSION", "the major: whoever makes a data directory writes it"},
	{"base/*/PG_VERSION", "the major: whoever makes a data directory writes it"},
	{"pg_tblspc/*/*/*/PG_VERSION", "the major: whoever makes a data directory writes it"},
	{"*.conf", "configuration of the server"},
	{"postmaster.opts", "configuration of the server"},
	{"recovery.signal", "asks for the recovery that made replayed/"},
}

// account wants every file of replayed/ to be of a kind that is compared, or
// to have a reason.
func (v *verifier) account(other *cluster) error {
	err := fs.WalkDir(v.fsys, "replayed", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || other.files.seen[name] {
			return err
		}
		name = strings.TrimPrefix(name, "replayed/")
		for _, n := range notCompared {
			if ok, _ := path.Match(n.pattern, name); ok {
				v.res.AllowedBy[n.reason]++
				return nil
			}
		}
		v.mismatch(Mismatch{Oracle: "replayed", Text: "file " + name + " is of no kind that is compared"})
		return nil
	})
	if err != nil {
		return fmt.Errorf("list replayed/ of the corpus: %w", err)
	}
	return nil
}

// compareSettings holds the settings that records change to the control file
// of replayed/.
func (v *verifier) compareSettings() error {
	b, err := fs.ReadFile(v.fsys, "replayed/global/pg_control")
	if err != nil {
		return fmt.Errorf("read the corpus: %w", err)
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return fmt.Errorf("replayed/global/pg_control: %w", err)
	}
	want, got := redo.CountersOf(ctl).Settings, v.counters.Settings
	if got != want {
		v.mismatch(Mismatch{Oracle: "replayed", Text: fmt.Sprintf("settings in pg_control: got %+v, want %+v", got, want)})
	}
	return nil
}

// Of pg_logical/replorigin_checkpoint (src/backend/replication/logical/origin.c):
// its magic, and the size of an entry, an origin's number and its progress.
const (
	originMagic = 0x1257DADE
	originSize  = 16
	originFile  = "pg_logical/replorigin_checkpoint"
)

// loadOrigins reads how far replication origins have come.
func (c *cluster) loadOrigins() error {
	name := path.Join(c.files.root, originFile)
	b, err := c.files.read(name)
	if err != nil {
		return err
	}
	if b == nil {
		return nil
	}
	le := binary.LittleEndian
	sum := crc32.Checksum(b[:max(len(b)-4, 0)], crc32.MakeTable(crc32.Castagnoli))
	if len(b) < 8 || le.Uint32(b) != originMagic || len(b)%originSize != 8 || le.Uint32(b[len(b)-4:]) != sum {
		return fmt.Errorf("%s of the corpus: %d bytes that are no such file", name, len(b))
	}
	for b = b[4 : len(b)-4]; len(b) >= originSize; b = b[originSize:] {
		c.origins[le.Uint16(b)] = core.LSN(le.Uint64(b[8:]))
	}
	return nil
}
