package waltool

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/redo/describe"
	"xenon/core/wal"
)

// A Selection chooses records: those that everything set in it holds for. The
// zero value chooses all.
type Selection struct {
	Rels   []core.Rel // any block of one of these; a zero tablespace or database is any
	Fork   *core.Fork // of the block
	Block  *uint32    // number of the block
	XIDs   []uint32   // written by one of these, by a subtransaction that names it, or its end
	Rmgrs  []string   // names of managers, in any case
	Record []string   // names of opcodes or manager/opcode, with * and ?, in any case
	Images bool       // has a page image
	// Since and Until bound the time. A record's time is that of the last commit
	// or abort before it, or its own: WAL tells no other.
	Since, Until time.Time
	Pattern      *regexp.Regexp // in the line that is printed
	Bytes        []byte         // in the data or an image of the record

	now  int64 // time of the last commit
	xact wal.Xact
	page [core.PageSize]byte
}

// Check tells what is wrong with the selection itself.
func (s *Selection) Check() error {
	for _, name := range s.Rmgrs {
		if !knownRmgr(name) {
			return fmt.Errorf("resource manager %q: want one of %s, or custom128 to custom255", name, strings.Join(rmgrNames(), ", "))
		}
	}
	for _, p := range s.Record {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("record %q: %w", p, err)
		}
	}
	return nil
}

func rmgrNames() (names []string) {
	for id := wal.RmgrID(0); id.Valid() && !id.Custom(); id++ {
		names = append(names, id.String())
	}
	return names
}

func knownRmgr(name string) bool {
	for id := range 256 {
		if r := wal.RmgrID(id); r.Valid() && strings.EqualFold(r.String(), name) {
			return true
		}
	}
	return false
}

// all tells whether every record is chosen, but for the pattern.
func (s *Selection) all() bool {
	return len(s.Rels)+len(s.XIDs)+len(s.Rmgrs)+len(s.Record) == 0 && s.Fork == nil && s.Block == nil &&
		!s.Images && s.Bytes == nil && s.Since.IsZero() && s.Until.IsZero()
}

// matches tells whether a record is chosen, but for the pattern. It sees every
// record, to know the time.
func (s *Selection) matches(rec *wal.Record) bool {
	s.clock(rec)
	return s.inTime() && s.ofManager(rec) && s.ofTransaction(rec) && s.ofBlock(rec) &&
		(!s.Images || describe.FPILen(rec) > 0) && (s.Bytes == nil || s.hasBytes(rec))
}

// clock keeps up with the time.
func (s *Selection) clock(rec *wal.Record) {
	if rec.Rmgr != wal.RmgrXact || s.Since.IsZero() && s.Until.IsZero() && len(s.XIDs) == 0 {
		return
	}
	if err := wal.ParseXact(rec, &s.xact); err == nil && s.xact.Time != 0 {
		s.now = s.xact.Time
	}
}

// pgEpoch is 2000-01-01, where PostgreSQL's times begin.
var pgEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *Selection) inTime() bool {
	if s.Since.IsZero() && s.Until.IsZero() {
		return true
	}
	now := pgEpoch.Add(time.Duration(s.now) * time.Microsecond)
	return s.now != 0 && (s.Since.IsZero() || !now.Before(s.Since)) && (s.Until.IsZero() || !now.After(s.Until))
}

// past tells whether all that follows is later than what is wanted.
func (s *Selection) past() bool {
	return !s.Until.IsZero() && pgEpoch.Add(time.Duration(s.now)*time.Microsecond).After(s.Until.Add(time.Minute))
}

func (s *Selection) ofManager(rec *wal.Record) bool {
	if len(s.Rmgrs) > 0 && !anyOf(s.Rmgrs, func(name string) bool { return strings.EqualFold(name, rec.Rmgr.String()) }) {
		return false
	}
	if len(s.Record) == 0 {
		return true
	}
	name := strings.ToLower(rec.Name())
	_, op, _ := strings.Cut(name, "/")
	return anyOf(s.Record, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		of := op
		if strings.Contains(pattern, "/") {
			of = name
		}
		ok, _ := path.Match(pattern, of)
		return ok
	})
}

func (s *Selection) ofTransaction(rec *wal.Record) bool {
	if len(s.XIDs) == 0 {
		return true
	}
	return anyOf(s.XIDs, func(xid uint32) bool {
		if rec.XID == xid || rec.TopXID == xid {
			return true
		}
		if rec.Rmgr != wal.RmgrXact {
			return false
		}
		return s.xact.XID == xid || anyOf(s.xact.SubXIDs, func(sub uint32) bool { return sub == xid })
	})
}

func (s *Selection) ofBlock(rec *wal.Record) bool {
	if len(s.Rels) == 0 && s.Fork == nil && s.Block == nil {
		return true
	}
	for i := range rec.Blocks {
		b := &rec.Blocks[i]
		if s.Block != nil && b.Block != *s.Block || s.Fork != nil && b.Rel.Fork != *s.Fork {
			continue
		}
		if len(s.Rels) == 0 || anyOf(s.Rels, func(r core.Rel) bool { return sameRel(r, b.Rel) }) {
			return true
		}
	}
	return false
}

// sameRel compares relations without their forks.
func sameRel(want, got core.Rel) bool {
	return want.Node == got.Node && (want.DB == 0 && want.Spc == 0 || want.DB == got.DB) && (want.Spc == 0 || want.Spc == got.Spc)
}

// hasBytes looks for bytes in what the record has besides its headers. Images
// are looked at as pages: their bytes may be compressed.
func (s *Selection) hasBytes(rec *wal.Record) bool {
	if bytes.Contains(rec.Main, s.Bytes) {
		return true
	}
	for i := range rec.Blocks {
		b := &rec.Blocks[i]
		if bytes.Contains(b.Data, s.Bytes) {
			return true
		}
		if b.HasImage && wal.RestoreImage(b, &s.page) == nil && bytes.Contains(s.page[:], s.Bytes) {
			return true
		}
	}
	return false
}

func anyOf[T any](list []T, ok func(T) bool) bool {
	for _, v := range list {
		if ok(v) {
			return true
		}
	}
	return false
}
