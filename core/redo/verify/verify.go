package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// Options of a run; the zero value is a good choice.
type Options struct {
	// Report is told each mismatch as it is found.
	Report func(Mismatch)
	// Progress is told the count of records now and then.
	Progress func(records int64, at core.LSN)
	// Limit ends the run after so many mismatches; 0 is none.
	Limit int64
	// Managers is the redo of extensions, nil if there are none.
	Managers *redo.Managers
	// Watch is one page to be followed; nil: none.
	Watch *Watch
}

// progressEvery is how many records pass between reports of progress.
const progressEvery = 50000

type verifier struct {
	opt      Options
	fsys     fs.FS
	c        *cluster
	applier  redo.Applier
	effects  redo.Effects
	counters redo.Counters
	res      *Result
	ops      [256 * 16]*Op // by manager and the high bits of xl_info

	image, got redo.Page // scratch of comparisons
	before     redo.Page // scratch of the page that is watched
}

// Corpus replays the corpus in fsys, whose files must have ReadAt as those of
// os.DirFS do, and counts what agrees. A mismatch is no error; an error says
// why the run could not be finished: a corpus that is not whole, WAL that ends
// in the middle, a record that nobody knows.
func Corpus(fsys fs.FS, opt Options) (*Result, error) {
	v := &verifier{opt: opt, fsys: fsys, res: &Result{
		Ops: map[string]*Op{}, MismatchesBy: map[string]int64{}, UnsupportedBy: map[string]int64{}, AllowedBy: map[string]int64{},
	}}
	b, err := fs.ReadFile(fsys, "initial/global/pg_control")
	if err != nil {
		return nil, fmt.Errorf("read the corpus: %w", err)
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return nil, fmt.Errorf("initial/global/pg_control: %w", err)
	}
	if ctl.State != wal.StateShutDown {
		return nil, fmt.Errorf("initial/ is %s, want a data directory that was shut down cleanly", ctl.State)
	}
	if v.c, err = load(fsys, "initial"); err != nil {
		return nil, err
	}
	defer v.c.files.close()
	v.counters = redo.CountersOf(ctl)
	v.applier.Managers, v.effects.Managers = opt.Managers, opt.Managers
	err = v.readWAL(ctl.Format(), ctl.CheckPoint.Redo)
	if err == nil {
		err = v.compareReplayed()
	}
	if errors.Is(err, errLimit) {
		err = nil
	}
	return v.res, err
}

// errLimit ends a run that found as many mismatches as it was to.
var errLimit = errors.New("enough mismatches")

func (v *verifier) atLimit() error {
	if v.opt.Limit > 0 && v.res.Mismatches >= v.opt.Limit {
		return errLimit
	}
	return nil
}

// op is what counts the records of rec's manager and opcode.
func (v *verifier) op(rec *wal.Record) *Op {
	at := &v.ops[int(rec.Rmgr)<<4|int(rec.Info>>4)]
	if *at == nil {
		name := rec.Name() // which looks at fewer bits
		if v.res.Ops[name] == nil {
			v.res.Ops[name] = new(Op)
		}
		*at = v.res.Ops[name]
	}
	return *at
}

// record replays one record: its blocks, then its effects.
func (v *verifier) record(rec *wal.Record) error {
	op := v.op(rec)
	op.Records++
	v.res.Records++
	v.res.End = rec.End
	if v.opt.Progress != nil && v.res.Records%progressEvery == 0 {
		v.opt.Progress(v.res.Records, rec.End)
	}
	v.checkCheckpoint(rec)
	v.applier.LogHints = v.counters.Settings.LogHints()
	list, err := v.effects.Decode(rec, &v.counters)
	if errors.Is(err, redo.ErrUnsupported) {
		v.res.UnsupportedBy[rec.Name()]++
	} else if err != nil {
		return err
	}
	adopted := false
	for i := range rec.Blocks {
		took, err := v.block(op, rec, &rec.Blocks[i])
		if err != nil {
			return err
		}
		adopted = adopted || took
	}
	if adopted {
		v.res.Adopted++
		op.Adopted++
	} else {
		v.res.Redone++
	}
	for i := range list {
		if err := v.effect(rec, &list[i]); err != nil {
			return err
		}
	}
	return v.atLimit()
}

// block replays one block of a record and compares it with its image.
func (v *verifier) block(op *Op, rec *wal.Record, blk *wal.Block) (adopted bool, err error) {
	f := v.c.fork(blk.Rel)
	f.grow(blk.Block + 1)
	p, err := v.c.page(f, blk.Block)
	if err != nil {
		return false, err
	}
	v.watchBefore(blk.Rel, blk.Block, &p.Page)
	outcome, err := v.applier.Apply(&p.Page, rec, blk)
	v.watchAfter(rec, blk.Rel, blk.Block, &p.Page, outcome, err)
	if err != nil {
		v.blame("redo", rec, blk, err.Error(), nil, nil)
		return true, v.adopt(p, rec, blk)
	}
	switch outcome {
	case redo.Restored:
		op.Restored++
		v.res.Restored++
		p.adopted = false
	case redo.Redone:
		op.Redone++
	default:
		op.Untouched++
	}
	if blk.HasImage && !blk.ApplyImage && redo.PageLSN(&p.Page) <= rec.End {
		op.Compared++
		return false, v.compareImage(p, rec, blk)
	}
	return false, nil
}

// adopt takes a page from its image.
func (v *verifier) adopt(p *page, rec *wal.Record, blk *wal.Block) error {
	p.adopted, p.rmgr = true, rec.Rmgr
	if !blk.HasImage {
		v.res.Unmade++
		return nil
	}
	if err := wal.RestoreImage(blk, &p.Page); err != nil {
		return err
	}
	redo.SetPageLSN(&p.Page, rec.End)
	return nil
}

// effect does what a record does beyond its blocks.
func (v *verifier) effect(rec *wal.Record, e *redo.Effect) error {
	c := v.c
	switch e.Kind {
	case redo.PatchPage:
		return v.patch(rec, e)
	case redo.SLRUTruncate:
		maps.DeleteFunc(c.slru, func(k core.Key, _ *redo.Page) bool {
			s, seg, _ := slruOf(k)
			return s == e.SLRU && e.DropsSegment(seg)
		})
	case redo.RelCreate:
		c.fork(e.Rel)
	case redo.RelTruncate:
		if f := c.forks[e.Rel]; f != nil {
			f.truncate(e.Blocks)
		}
	case redo.RelDrop:
		c.dropRel(e.Rel)
	case redo.DBCreate:
		c.walLogged[e.Rel] = true
	case redo.DBCopy:
		c.copyDB(e.Rel, e.From)
	case redo.DBDrop:
		c.dropDB(e.Rel)
	case redo.RelMap:
		c.relmaps[e.Rel] = append([]byte(nil), e.Data...)
	case redo.TwoPhaseCreate:
		c.twoPhase[e.XID] = wal.TwoPhaseFile(e.Data)
	case redo.TwoPhaseRemove:
		delete(c.twoPhase, e.XID)
	case redo.SpcCreate:
		c.spcs[e.Rel.Spc] = true
	case redo.SpcDrop:
		c.dropSpc(e.Rel.Spc)
	case redo.OriginAdvance:
		if e.Back || c.origins[e.Origin] < e.Remote {
			c.origins[e.Origin] = e.Remote
		}
	case redo.OriginDrop:
		delete(c.origins, e.Origin)
	case redo.CommitTime: // for finding a moment, no part of the cluster
	default:
		core.Must(false, "effect of unknown kind %d in %s at %s", e.Kind, rec.Name(), rec.Start)
	}
	return nil
}

// patch changes a page of an SLRU or of a visibility map. Clearing bits makes
// a map that is too short longer, as PostgreSQL's replay does; truncating one
// does not.
func (v *verifier) patch(rec *wal.Record, e *redo.Effect) error {
	rel, blk, isBlock := core.BlockOfKey(e.Key)
	if !isBlock {
		return e.Patch.Apply(v.c.slruPage(e.Key))
	}
	f := v.c.forks[rel]
	if rec.Rmgr == wal.RmgrSMGR && (f == nil || blk >= f.size()) {
		return nil
	}
	f = v.c.fork(rel)
	f.grow(blk + 1)
	p, err := v.c.page(f, blk)
	if err != nil {
		return err
	}
	v.watchBefore(rel, blk, &p.Page)
	err = e.Patch.Apply(&p.Page)
	v.watchAfter(rec, rel, blk, &p.Page, redo.Redone, err)
	return err
}
