package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A Result counts what a run did. Everything but Mismatches, MismatchesBy and
// VMBitsLost may be anything in a good run.
type Result struct {
	Records        int64 `json:"records"`         // decoded, from the redo pointer of initial/ on
	Redone         int64 `json:"redone"`          // records whose every block was made by redo, and those without blocks
	Adopted        int64 `json:"adopted"`         // records that are not understood: a page was taken from its image
	Unmade         int64 `json:"unmade"`          // of these, pages that had no image either
	Restored       int64 `json:"restored"`        // pages restored from images, which only files can check
	ImagesCompared int64 `json:"images_compared"` // pages compared with an image in their record
	PagesCompared  int64 `json:"pages_compared"`  // pages of relations and SLRUs compared with replayed/
	FilesCompared  int64 `json:"files_compared"`  // files of replayed/ whose size and pages were compared
	Checkpoints    int64 `json:"checkpoints"`     // shutdown checkpoints whose counters were compared
	Mismatches     int64 `json:"mismatches"`
	// VMBitsLost counts visibility map images with bits that replay loses, as
	// PostgreSQL's does: in databases made with STRATEGY wal_log.
	VMBitsLost int64 `json:"vm_bits_lost"`

	Ops           map[string]*Op   `json:"ops"`            // by manager and opcode, as in Heap/INSERT+INIT
	MismatchesBy  map[string]int64 `json:"mismatches_by"`  // by manager and opcode, or by oracle
	UnsupportedBy map[string]int64 `json:"unsupported_by"` // records at which ingest would stop
	// AllowedBy counts differences from replayed/ that have a reason, by reason.
	AllowedBy map[string]int64 `json:"allowed_by"`

	End core.LSN `json:"end"` // of the last record
}

// An Op counts what became of the records of one manager and opcode. All but
// Records and Adopted are blocks.
type Op struct {
	Records    int64 `json:"records"`
	Redone     int64 `json:"redone"`    // made by redo
	Restored   int64 `json:"restored"`  // replaced by the image in the record
	Untouched  int64 `json:"untouched"` // left alone: named for its lock, or newer
	Compared   int64 `json:"compared"`  // held to an image
	Mismatched int64 `json:"mismatched"`
	Adopted    int64 `json:"adopted"` // records whose page was taken from its image
}

func (o *Op) add(p *Op) {
	o.Records += p.Records
	o.Redone += p.Redone
	o.Restored += p.Restored
	o.Untouched += p.Untouched
	o.Compared += p.Compared
	o.Mismatched += p.Mismatched
	o.Adopted += p.Adopted
}

// Merge adds the counts by manager and opcode, and by reason, of another run.
func (r *Result) Merge(other *Result) {
	if r.Ops == nil {
		r.Ops, r.AllowedBy = map[string]*Op{}, map[string]int64{}
	}
	for _, reason := range slices.Sorted(maps.Keys(other.AllowedBy)) {
		r.AllowedBy[reason] += other.AllowedBy[reason]
	}
	for _, name := range slices.Sorted(maps.Keys(other.Ops)) {
		if r.Ops[name] == nil {
			r.Ops[name] = new(Op)
		}
		r.Ops[name].add(other.Ops[name])
	}
}

// Table is the counts by manager and opcode as text, one line each.
func (r *Result) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %9s %9s %9s %9s %9s %9s %9s\n", "manager/opcode",
		"records", "redone", "restored", "untouched", "compared", "mismatch", "adopted")
	for _, name := range slices.Sorted(maps.Keys(r.Ops)) {
		o := r.Ops[name]
		fmt.Fprintf(&b, "%-32s %9d %9d %9d %9d %9d %9d %9d\n", name,
			o.Records, o.Redone, o.Restored, o.Untouched, o.Compared, o.Mismatched, o.Adopted)
	}
	return b.String()
}

// A Mismatch is one disagreement with an oracle.
type Mismatch struct {
	Oracle string // image, vm image, checkpoint, replayed, redo
	Record string // manager and opcode, if one record is to blame
	LSN    core.LSN
	Rel    core.Rel
	Block  uint32
	Text   string // what differs, both sides; or the error

	// Manager is whose layout the pages have.
	Manager wal.RmgrID
	// Rec is the record to blame, Got and Want are both pages with nothing
	// masked; nil where there is none. They are good only while Report runs.
	Rec       *wal.Record
	Got, Want *redo.Page
}

func (m Mismatch) String() string {
	s := m.Oracle
	if m.Record != "" {
		s += fmt.Sprintf(": %s at %s", m.Record, m.LSN)
	}
	if m.Rel != (core.Rel{}) {
		s += fmt.Sprintf(", %s block %d", m.Rel, m.Block)
	}
	return s + ": " + m.Text
}

func (v *verifier) mismatch(m Mismatch) {
	v.res.Mismatches++
	by := m.Record
	if by == "" {
		by = m.Oracle
	}
	v.res.MismatchesBy[by]++
	if op := v.res.Ops[m.Record]; op != nil {
		op.Mismatched++
	}
	if v.opt.Report != nil {
		v.opt.Report(m)
	}
}

// blame reports a mismatch of a page after a record. Want is nil if there is
// no page to compare with.
func (v *verifier) blame(oracle string, rec *wal.Record, blk *wal.Block, text string, got, want *redo.Page) {
	v.mismatch(Mismatch{Oracle: oracle, Record: v.opt.Managers.RecordName(rec), LSN: rec.Start, Rel: blk.Rel, Block: blk.Block, Text: text,
		Manager: rec.Rmgr, Rec: rec, Got: got, Want: want})
}

// exact are the counters that records state as they move.
func exact(c redo.Counters) map[string]uint64 {
	return map[string]uint64{
		"nextXid": c.NextXID, "nextMulti": uint64(c.NextMulti), "nextMultiOffset": uint64(c.NextOffset),
		"newestCommitTsXid": uint64(c.NewestCommitTs),
	}
}

// lagging are the counters that only a truncation of an SLRU states between
// checkpoints: vacuum moves them without a record where no segment goes. The
// databases that they belong to may change without any.
func lagging(c redo.Counters) map[string]uint32 {
	return map[string]uint32{
		"oldestXid": c.OldestXID, "oldestMulti": c.OldestMulti, "oldestCommitTsXid": c.OldestCommitTs,
	}
}
