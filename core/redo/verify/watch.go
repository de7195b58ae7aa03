package verify

import (
	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A Watch follows one page through a corpus.
type Watch struct {
	Rel   core.Rel
	Block uint32
	// Step is told of every record that names the page, or changes it without.
	Step func(Step)
}

// A Step is one record and what it did to the page that is watched. All it
// points to is good only while Watch.Step runs.
type Step struct {
	Rec           *wal.Record
	Before, After *redo.Page
	Outcome       redo.Outcome
	Err           error // why redo could not
}

func (v *verifier) watches(rel core.Rel, blk uint32) bool {
	w := v.opt.Watch
	return w != nil && w.Block == blk && w.Rel == rel
}

func (v *verifier) watchBefore(rel core.Rel, blk uint32, p *redo.Page) {
	if v.watches(rel, blk) {
		v.before = *p
	}
}

func (v *verifier) watchAfter(rec *wal.Record, rel core.Rel, blk uint32, p *redo.Page, out redo.Outcome, err error) {
	if v.watches(rel, blk) {
		v.opt.Watch.Step(Step{Rec: rec, Before: &v.before, After: p, Outcome: out, Err: err})
	}
}
