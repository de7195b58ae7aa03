package fuzz

import (
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/netsim"
)

// An Oracle is a promise that is watched.
type Oracle string

// Oracles are what a run can fail by. A failure of the world itself (a panic,
// a deadlock, an endless loop) has the kind that netsim gives it.
const (
	LostCommit    Oracle = "lost acknowledged commit"
	OneWinner     Oracle = "one winner per term"
	DurableQuorum Oracle = "commit only with a durable majority"
	DurableFlush  Oracle = "reported flush survives a power cut"
	DurableVote   Oracle = "vote survives a power cut"
	Prefix        Oracle = "prefix agreement"
	CommitFalls   Oracle = "commit LSN never falls"
	PageReplay    Oracle = "GetPage equals a reference replay"
	TreesKeep     Oracle = "the trees keep what a server writes"
	WrittenPages  Oracle = "redo makes the pages that a server writes"
	IngestBound   Oracle = "only committed WAL is ingested"
	Linearizable  Oracle = "linearizable history"
	Isolated      Oracle = "strictly serializable transactions"
	Available     Oracle = "clients are served while nothing excuses that they are not"
	Liveness      Oracle = "liveness after healing"
	Quiet         Oracle = "rest when there is nothing to do"
	OneConfig     Oracle = "one configuration per generation, one change at a time"
	NoReturn      Oracle = "who was excluded takes no part before it is a member again"
	Synced        Oracle = "a majority knows what is committed once the log is made level"

	IngestOnce    Oracle = "each record is ingested once"
	DiskHeld      Oracle = "disk-consistent survives a power cut"
	RemoteHeld    Oracle = "WAL is given up only for what every index to come holds"
	IndexComplete Oracle = "an index names only what is there"
	IndexSound    Oracle = "an index says what the layers hold"
	WriteOnce     Oracle = "an object's name is used once"
	Fenced        Oracle = "only who minted a generation writes its index"
	Reachable     Oracle = "nothing that a reader may need is deleted"
	ChildNamed    Oracle = "a parent names its child before that exists"
	Archived      Oracle = "WAL in the object store is what was committed"
	Removed       Oracle = "WAL leaves a disk only for what the object store holds"
	ServedWAL     Oracle = "readers get the WAL that was committed, wherever it is"
)

// A Violation is a promise that was broken.
type Violation struct {
	Oracle Oracle
	Err    error
}

func (v *Violation) Error() string { return fmt.Sprintf("%s: %v", v.Oracle, v.Err) }

// Unwrap is what was seen.
func (v *Violation) Unwrap() error { return v.Err }

// A judge watches a cluster. It sees every note that the parts make at the
// moment they make it, the devices, and every request that took effect at the
// object store.
type judge struct {
	c      *cluster
	counts *Counts
	store  *store
	lines  []*line // in the order in which they came; the first has no parent
	// outside tells that nothing counts but what clients saw; see Plan.Judge.
	outside bool
}

func newJudge(c *cluster, counts *Counts) *judge {
	j := &judge{c: c, counts: counts}
	j.store = newStore(j)
	c.bucket.Watch(j.store.did)
	return j
}

// violated stops the run.
func (j *judge) violated(o Oracle, format string, args ...any) {
	if !j.outside {
		j.c.w.Fail(&Violation{o, fmt.Errorf(format, args...)})
	}
}

// line finds a timeline by its tag, nil if it is not under judgement.
func (j *judge) line(tag uint64) *line {
	for _, l := range j.lines {
		if l.id.Timeline.Tag() == tag {
			return l
		}
	}
	return nil
}

// note is told of everything that parts note.
func (j *judge) note(p *netsim.Proc, e env.Event) {
	l := j.line(e.A)
	if l == nil || l.gone {
		return
	}
	switch e.Kind {
	case "pageserver.open", "pageserver.record", "pageserver.disk", "pageserver.lost", "pageserver.remote":
		l.paged(p, e)
	case "proposer.elected":
		l.elected(p, core.Term(e.B), core.LSN(e.C))
	case "proposer.commit":
		l.committedIn(core.Generation(e.D), p.Name(), core.Term(e.B), core.LSN(e.C))
	case "safekeeper.excluded":
		l.excluded(l.keeper(p))
	case "safekeeper.pulled":
		l.pulled(l.keeper(p), core.Term(e.B), core.LSN(e.C), core.LSN(e.D))
	case "safekeeper.vote":
		l.voted(l.keeper(p), core.Term(e.B), core.LSN(e.C), e.D == 1)
	case "safekeeper.elected":
		if e.D == 1 { // else it ignores a term that is over
			l.adopts(l.keeper(p), core.Term(e.B), core.LSN(e.C))
		}
	case "safekeeper.copied":
		j.counts.Copies++
		l.reports(l.keeper(p), core.Term(e.B), core.LSN(e.C), core.LSN(e.D))
	case "safekeeper.learned":
		j.counts.Learned++
		l.reports(l.keeper(p), core.Term(e.B), core.LSN(e.C), core.LSN(e.D))
	case "safekeeper.mended":
		j.counts.Mended++
	case "safekeeper.wounded":
		j.counts.Wounds++
		l.keeper(p).wounded(core.LSN(e.D))
	case "safekeeper.healed":
		j.counts.Healed++
	case "safekeeper.trim":
		l.trimmed(l.keeper(p), core.LSN(e.B))
	case "safekeeper.evict":
		l.evicted(l.keeper(p), core.LSN(e.B), e.C == 1)
	case "safekeeper.ack":
		l.reports(l.keeper(p), core.Term(e.B), core.LSN(e.C), core.LSN(e.D))
	}
}
