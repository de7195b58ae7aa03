package fuzz

import (
	"bytes"
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
	IngestBound   Oracle = "only committed WAL is ingested"
	Linearizable  Oracle = "linearizable history"
	Liveness      Oracle = "liveness after healing"
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
// moment they make it, and the devices.
type judge struct {
	c       *cluster
	clients *clients
	counts  *Counts
	ghost   *ghost
	keepers [keepers]*keeper

	winners map[core.Term]string
	newest  core.Term // the highest term that was won
	noted   map[core.Term]core.LSN
	acked   core.LSN // end of the last commit record that a client heard of
	broken  int      // writes under way or broken off at the last election
}

func newJudge(c *cluster, counts *Counts) *judge {
	j := &judge{c: c, counts: counts, ghost: newGhost(c.blank), winners: map[core.Term]string{}, noted: map[core.Term]core.LSN{}}
	for i, n := range c.sks {
		j.keepers[i] = newKeeper(n.Name(), n.disk, c.blank)
	}
	return j
}

// violated stops the run.
func (j *judge) violated(o Oracle, format string, args ...any) {
	j.c.w.Fail(&Violation{o, fmt.Errorf(format, args...)})
}

// note is told of everything that parts note.
func (j *judge) note(p *netsim.Proc, e env.Event) {
	switch e.Kind {
	case "proposer.elected":
		j.elected(p, core.Term(e.A), core.LSN(e.B))
	case "proposer.commit":
		j.committed(p.Name(), core.Term(e.A), core.LSN(e.B))
	case "safekeeper.vote":
		j.voted(j.keepers[e.A-1], core.Term(e.B), core.LSN(e.C), e.D == 1)
	case "safekeeper.elected":
		if e.D == 1 { // else it ignores a term that is over
			j.adopts(j.keepers[e.A-1], core.Term(e.B), core.LSN(e.C))
		}
	case "safekeeper.ack":
		j.reports(j.keepers[e.A-1], core.Term(e.B), core.LSN(e.C), core.LSN(e.D))
	}
}

// elected is told of a proposer that won a term; its log begins at start.
func (j *judge) elected(p *netsim.Proc, term core.Term, start core.LSN) {
	who := fmt.Sprintf("%s, incarnation %d", p.Name(), p.Incarnation())
	if other, won := j.winners[term]; won {
		j.violated(OneWinner, "term %d was won by %s and by %s", term, other, who)
	}
	j.winners[term] = who
	j.newest = max(j.newest, term)
	if start < j.acked && term == j.newest { // else its votes are older than what came meanwhile
		j.violated(LostCommit, "%s begins term %d at %s, a commit that ends at %s was acknowledged", who, term, start, j.acked)
	}
	if start < j.ghost.end() && term == j.newest {
		j.violated(LostCommit, "%s begins term %d at %s, WAL is committed up to %s", who, term, start, j.ghost.end())
	}
	j.noted[term] = start
	j.counts.Elections++
	if under := j.clients.begun - j.clients.ended; under > j.broken {
		j.counts.ElectionsUnderLoad++
	}
	j.broken = j.clients.begun - j.clients.ended
}

// committed is told that somebody takes WAL up to lsn for committed. It must be
// on the devices of a majority, and be what is committed already, as far as
// that goes.
func (j *judge) committed(who string, term core.Term, lsn core.LSN) {
	from := j.ghost.end()
	if own, ok := j.noted[term]; ok {
		from = min(from, own)
	}
	if lsn <= from {
		return
	}
	j.noted[term] = max(j.noted[term], lsn)
	b := j.majority(from, lsn)
	if b == nil {
		j.violated(DurableQuorum, "%s takes WAL up to %s for committed, but no two devices have the same WAL from %s on", who, lsn, from)
		return
	}
	if err := j.ghost.agree(who, from, b); err != nil {
		j.violated(Prefix, "%w", err)
		return
	}
	if end := j.ghost.end(); lsn > end {
		if err := j.ghost.grow(bytes.Clone(b[end-from:])); err != nil {
			j.violated(DurableQuorum, "%s takes WAL up to %s for committed: %w", who, lsn, err)
		}
	}
}

// majority is the bytes that two devices have from one LSN to another, nil if
// no two agree.
func (j *judge) majority(from, to core.LSN) []byte {
	var all [keepers][]byte
	for i, k := range j.keepers {
		all[i] = k.wal(from, to)
		for _, other := range all[:i] {
			if bytes.Equal(other, all[i]) {
				return other
			}
		}
	}
	return nil
}

// voted is told of a vote that is about to be answered.
func (j *judge) voted(k *keeper, term core.Term, flush core.LSN, granted bool) {
	k.term = max(k.term, term)
	if granted {
		switch on, err := k.promise(); {
		case err != nil:
			j.violated(DurableVote, "%s votes in term %d: %w", k.name, term, err)
		case on < term:
			j.violated(DurableVote, "%s votes in term %d, but on its device is term %d", k.name, term, on)
		}
	}
	if err := k.reported(flush); err != nil {
		j.violated(DurableFlush, "%w", err)
	}
}

// adopts is told that a safekeeper is about to make its log that of a term,
// which it will be sent from start on.
func (j *judge) adopts(k *keeper, term core.Term, start core.LSN) {
	k.term = max(k.term, term)
	if start < k.commit {
		j.violated(LostCommit, "%s cuts its log at %s, and reported commit LSN %s", k.name, start, k.commit)
	}
	if start < k.flush {
		j.counts.TailsCut++
		k.flush = start
	}
	k.cut(start)
}

// reports is told of an answer to an append that is about to be sent.
func (j *judge) reports(k *keeper, term core.Term, flush, commit core.LSN) {
	if term < k.term || flush == 0 {
		return // overtaken by a newer term, as an answer may be on its way
	}
	if err := k.reported(flush); err != nil {
		j.violated(DurableFlush, "%w", err)
		return
	}
	if commit > flush {
		j.violated(CommitFalls, "%s reports commit LSN %s above flush LSN %s", k.name, commit, flush)
		return
	}
	j.committed(k.name, term, commit)
	if commit <= k.commit {
		return
	}
	if err := j.ghost.agree(k.name, k.commit, k.wal(k.commit, commit)); err != nil {
		j.violated(Prefix, "%w", err)
	}
	k.commit = commit
}

// acknowledged is told that a client heard of a commit that ends at lsn.
func (j *judge) acknowledged(term core.Term, lsn core.LSN) {
	if lsn > j.ghost.end() {
		j.committed(fmt.Sprintf("a server of term %d", term), term, lsn)
	}
	j.acked = max(j.acked, lsn)
}
