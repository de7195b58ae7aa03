package fuzz

import (
	"xenon/linearizability"
)

// What a run tells whoever records it (Options.Record) and nobody else. Kinds
// of netsim.Detail that come from here: begun (faults may strike from now on),
// fault and fault.end (Name is the step; A tells whether it struck anybody, and
// at its end whether that had an effect), befell (Proc is who), act and act.end.

// begun tells that the plan is before the world: its times count from here.
func (r *run) begun() {
	r.result.Began = r.w.Elapsed()
	r.c.began = r.result.Began
	r.w.Show("begun", "", "", 0, 0)
}

// befell tells whom a step befalls, where no event of the world does.
func (n *nemesis) befell(x *node) { n.w.Show("befell", x.Name(), "", 0, 0) }

// befellBucket tells that it is the object store.
func (n *nemesis) befellBucket() { n.w.Show("befell", "bucket", "", 0, 0) }

// striking tells that everything from now on, until struck, is what s does.
func (n *nemesis) striking(s Step) {
	if n.w.Recording() {
		n.w.Show("fault", "", s.String(), uint64(s.For), 0)
	}
}

func (n *nemesis) struck(s Step, anybody bool) { n.w.Show("fault.struck", "", "", yes(anybody), 0) }

// mended tells that a step is over.
func (n *nemesis) mended(s Step, effective bool) {
	if n.w.Recording() {
		n.w.Show("fault.end", "", s.String(), yes(effective), 0)
	}
}

// acting tells that somebody begins what a plan asks for, or is done.
func (r *run) acting(kind string, a Act) {
	if r.w.Recording() {
		r.w.Show(kind, "", a.String(), 0, 0)
	}
}

func yes(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// A Witness is what the clients of one branch saw, in a run that was recorded.
type Witness struct {
	Branch  string
	History *linearizability.History
}

// A Timeline is one that was in a recorded run.
type Timeline struct {
	Branch string
	Tag    uint64 // as events have it
}

// testify keeps what is only known while the world stands.
func (r *run) testify() {
	if r.j == nil || !r.w.Recording() {
		return
	}
	for _, l := range r.j.lines {
		r.result.Witnesses = append(r.result.Witnesses, Witness{l.name, &l.clients.history})
		r.result.Timelines = append(r.result.Timelines, Timeline{Branch: l.name, Tag: l.id.Timeline.Tag()})
	}
}
