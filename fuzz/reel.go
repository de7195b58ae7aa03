package fuzz

import (
	"slices"

	"xenon/core"
	"xenon/core/env"
	"xenon/netsim"
)

// A reel is one timeline on one pageserver: what that said of it, over all its
// incarnations.
type reel struct {
	// next is the end of the last record that was ingested by the incarnation
	// that runs; 0 before it has opened the timeline.
	next core.LSN
	// disk is what it last said outlives its memory; 0 for a disk that was
	// wiped since.
	disk core.LSN
	// given is how often it said that its disk does not give back what it held.
	given int
	// gave is where the incarnation gaveIn went back to when it last said so.
	gave   core.LSN
	gaveIn int
	// back tells that the disk was set back, or lost layers. What is flushed after
	// that may end elsewhere than what the store has of before.
	back bool
}

// reel is what a process said of the timeline.
func (l *line) reel(p *netsim.Proc) *reel {
	r := l.reels[p.Name()]
	if r == nil {
		r = &reel{}
		l.reels[p.Name()] = r
	}
	return r
}

// paged is told of what a pageserver notes of a timeline.
func (l *line) paged(p *netsim.Proc, e env.Event) {
	r := l.reel(p)
	switch e.Kind {
	case "pageserver.open":
		l.opened(p.Name(), r, core.LSN(e.B))
	case "pageserver.record":
		l.ingested(p.Name(), r, core.LSN(e.C))
	case "pageserver.disk":
		if lsn := core.LSN(e.B); lsn > r.disk {
			r.disk = lsn
			l.j.counts.Flushes++
		}
		if r.disk > r.next {
			l.j.violated(DiskHeld, "%s says that its disk holds %s up to %s, and has ingested %s", p.Name(), l.name, r.disk, r.next)
		}
	case "pageserver.lost":
		l.lost(p, r, core.LSN(e.B))
	case "pageserver.remote":
		l.j.store.reports(p.Name(), l.id.Timeline, core.LSN(e.B))
	}
}

// lost is told that a pageserver gives layers up, and goes back to an LSN: its
// disk does not give back what it took. Something must have befallen the disk
// for that, and something more for each time that it is said again; but one that
// ends before the manifest says so finds the same once more when it starts.
func (l *line) lost(p *netsim.Proc, r *reel, at core.LSN) {
	who := p.Name()
	if at != r.gave || p.Incarnation() == r.gaveIn {
		r.given++
	}
	r.gave, r.gaveIn = at, p.Incarnation()
	ps := l.j.c.pss[slices.IndexFunc(l.j.c.pss, func(x *node) bool { return x.Name() == who })]
	if harm := ps.disk.Harm(); r.given > harm.Failed+harm.Stale+harm.Misread+harm.Misplaced+harm.RottenRead+harm.BadReads {
		l.j.violated(DiskHeld, "%s gives up layers of %s behind %s, and its disk is sound", who, l.name, at)
	}
	l.j.counts.Losses++
	r.disk, r.back = min(r.disk, at), true
}

// opened is told that an incarnation goes on behind a record: one that its
// disk or the object store holds for good, and no earlier than it said.
func (l *line) opened(who string, r *reel, at core.LSN) {
	h := l.j.store.shelf(l.id.Timeline)
	if x := h.index(); l.j.store.foreign(h, who) || r.back && x != nil && at >= x.DiskConsistent.LSN && at < r.disk {
		// Another one went on from there, or it did so itself before its disk was
		// set back, and the layers there may end elsewhere. Then what the disk has
		// is of no use, and the WAL behind theirs is held.
		r.disk, r.back = min(r.disk, at), false
	}
	switch {
	case l.ghost.ends[l.ghost.index(at)] != at || at > l.ghost.end():
		l.j.violated(IngestBound, "%s opens %s at %s, where no committed record ends", who, l.name, at)
	case at < r.disk:
		l.j.violated(DiskHeld, "%s opens %s at %s, and said that its disk holds it up to %s", who, l.name, at, r.disk)
	case r.disk == 0 && h.index() != nil && at > l.ghost.begin:
		l.j.counts.Restores++
	}
	r.next = at
}

// ingested is told of a record that goes in: the one behind the last.
func (l *line) ingested(who string, r *reel, end core.LSN) {
	g := l.ghost
	if end > g.end() {
		l.j.violated(IngestBound, "%s ingests a record of %s that ends at %s, WAL is committed up to %s", who, l.name, end, g.end())
		return
	}
	if at := g.index(r.next); at+1 >= len(g.ends) || g.ends[at] != r.next || g.ends[at+1] != end {
		l.j.violated(IngestOnce, "%s ingests a record of %s that ends at %s behind %s", who, l.name, end, r.next)
		return
	}
	r.next = end
}
