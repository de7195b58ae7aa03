package fuzz

import (
	"bytes"
	"fmt"
	"slices"

	"xenon/core"
	"xenon/core/pageserver/reference"
	"xenon/fuzz/standin"
	"xenon/netsim"
)

// A line is one timeline under judgement: what was promised of it, and what
// came of the promises.
type line struct {
	j    *judge
	id   core.TTID
	name string // of the branch
	// parent is what it was branched off, at an LSN; nil for the first.
	parent *line
	at     core.LSN

	ghost *ghost
	// keepers are those of the members, pool those of all safekeepers.
	keepers, pool []*keeper
	members       members
	reels         map[string]*reel // by pageserver
	clients       *clients
	// going tells that the branch is to be deleted, gone that it is, or was
	// never made: nobody may expect anything of it.
	going, gone bool

	winners map[core.Term]string
	newest  core.Term // the highest term that was won
	noted   map[core.Term]core.LSN
	acked   core.LSN // end of the last commit record that a client heard of
	broken  int      // writes under way or broken off at the last election
}

// watch puts a timeline under judgement.
func (j *judge) watch(name string, id core.TTID, g *ghost) *line {
	l := &line{j: j, id: id, name: name, ghost: g, winners: map[core.Term]string{}, noted: map[core.Term]core.LSN{}, reels: map[string]*reel{}}
	for _, n := range append(slices.Clone(j.c.sks), j.c.reserve...) {
		l.pool = append(l.pool, newKeeper(n.Name(), id, n.disk, g.begin))
	}
	l.keepers = l.pool[:len(j.c.sks):len(j.c.sks)]
	for _, k := range l.pool {
		k.vault = func() *vault { return j.store.vault(id.Timeline) }
	}
	l.clients = &clients{c: j.c, line: l, services: map[*standin.Server]service{}, errands: map[int]errand{}}
	j.lines = append(j.lines, l)
	return l
}

// keeper is what a safekeeper's process promised of this timeline.
func (l *line) keeper(p *netsim.Proc) *keeper {
	for _, k := range l.pool {
		if k.name == p.Name() {
			return k
		}
	}
	core.Must(false, "process %s is no safekeeper", p.Name())
	return nil
}

// asOf is the cluster as of an LSN, which may lie before the branch point.
func (l *line) asOf(lsn core.LSN) reference.View {
	for l.parent != nil && lsn < l.at {
		l = l.parent
	}
	return l.ghost.asOf(lsn)
}

// elected is told of a proposer that won a term; its log begins at start.
func (l *line) elected(p *netsim.Proc, term core.Term, start core.LSN) {
	who := fmt.Sprintf("%s, incarnation %d", p.Name(), p.Incarnation())
	if other, won := l.winners[term]; won {
		l.j.violated(OneWinner, "term %d was won by %s and by %s", term, other, who)
	}
	l.winners[term] = who
	l.newest = max(l.newest, term)
	if start < l.acked && term == l.newest { // else its votes are older than what came meanwhile
		l.j.violated(LostCommit, "%s begins term %d at %s, a commit that ends at %s was acknowledged", who, term, start, l.acked)
	}
	if start < l.ghost.end() && term == l.newest {
		l.j.violated(LostCommit, "%s begins term %d at %s, WAL is committed up to %s", who, term, start, l.ghost.end())
	}
	l.noted[term] = start
	l.contest(start)
	l.j.counts.Elections++
	if under := l.clients.begun - l.clients.ended; under > l.broken {
		l.j.counts.ElectionsUnderLoad++
	}
	l.broken = l.clients.begun - l.clients.ended
}

// committed is told that somebody takes WAL up to lsn for committed. It must be
// on the devices of a majority, and be what is committed already, as far as
// that goes.
func (l *line) committed(who string, term core.Term, lsn core.LSN) { l.committedIn(0, who, term, lsn) }

// committedIn is committed by a proposer with the members of a generation, 0 if
// it is not known.
func (l *line) committedIn(g core.Generation, who string, term core.Term, lsn core.LSN) {
	from := l.ghost.end()
	if own, ok := l.noted[term]; ok {
		from = min(from, own)
	}
	if lsn <= from {
		return
	}
	l.noted[term] = max(l.noted[term], lsn)
	b := l.quorum(g, from, lsn)
	if b == nil {
		l.j.violated(DurableQuorum, "%s takes WAL up to %s for committed, but no majority of devices has the same WAL from %s on", who, lsn, from)
		return
	}
	if err := l.ghost.agree(who, from, b); err != nil {
		l.j.violated(Prefix, "%w", err)
		return
	}
	if end := l.ghost.end(); lsn > end {
		if err := l.ghost.grow(b[end-from:]); err != nil {
			l.j.violated(DurableQuorum, "%s takes WAL up to %s for committed: %w", who, lsn, err)
		}
	}
}

// majority is the bytes that the devices of a majority of a set have from one
// LSN to another, nil if no majority agrees.
func majority(set []*keeper, from, to core.LSN) []byte {
	var all [][]byte
	for _, k := range set {
		b, same := k.wal(from, to), 1
		for _, other := range all {
			if bytes.Equal(other, b) {
				same++
			}
		}
		if same > len(set)/2 {
			return b
		}
		all = append(all, b)
	}
	return nil
}

// voted is told of a vote that is about to be answered.
func (l *line) voted(k *keeper, term core.Term, flush core.LSN, granted bool) {
	l.takesPart(k)
	k.term = max(k.term, term)
	if granted {
		switch on, err := k.promise(); {
		case err != nil:
			l.j.violated(DurableVote, "%s votes in term %d: %w", k.name, term, err)
		case on < term:
			l.j.violated(DurableVote, "%s votes in term %d, but on its device is term %d", k.name, term, on)
		}
	}
	if err := k.reported(flush); err != nil {
		l.j.violated(DurableFlush, "%w", err)
	}
}

// adopts is told that a safekeeper is about to make its log that of a term,
// which it will be sent from start on.
func (l *line) adopts(k *keeper, term core.Term, start core.LSN) {
	l.takesPart(k)
	k.term = max(k.term, term)
	if start < k.commit {
		l.j.violated(LostCommit, "%s cuts its log at %s, and reported commit LSN %s", k.name, start, k.commit)
	}
	l.adopted(k)
	if start < k.flush {
		l.j.counts.TailsCut++
		k.flush = start
		k.adopting = l.j.c.w.Find(k.name).Incarnation()
	}
	k.cut(start)
}

// adopted is told of a safekeeper that says something. If it was cutting off a
// tail when it was last heard of, it has done so, or ended while it was at it.
func (l *line) adopted(k *keeper) {
	if k.adopting != 0 && k.adopting != l.j.c.w.Find(k.name).Incarnation() {
		l.j.counts.TornAdoptions++
	}
	k.adopting = 0
}

// contest looks at who might have been the donor of a term that begins at start.
func (l *line) contest(start core.LSN) {
	level, longer := 0, false
	for _, k := range l.keepers {
		if k.flush == start {
			level++
		}
		longer = longer || k.flush > start
	}
	if level > 1 {
		l.j.counts.Ties++
	}
	if longer {
		l.j.counts.ShorterDonors++
	}
}

// reports is told of an answer to an append that is about to be sent.
func (l *line) reports(k *keeper, term core.Term, flush, commit core.LSN) {
	l.adopted(k)
	if k.lost {
		l.takesPart(k)
		return
	}
	if term < k.term || flush == 0 {
		return // overtaken by a newer term, as an answer may be on its way
	}
	if err := k.reported(flush); err != nil {
		l.j.violated(DurableFlush, "%w", err)
		return
	}
	if commit > flush {
		l.j.violated(CommitFalls, "%s reports commit LSN %s above flush LSN %s", k.name, commit, flush)
		return
	}
	l.committed(k.name, term, commit)
	if commit <= k.commit {
		return
	}
	if err := l.ghost.agree(k.name, k.commit, k.wal(k.commit, commit)); err != nil {
		l.j.violated(Prefix, "%w", err)
	}
	k.commit = commit
}

// acknowledged is told that a client heard of a commit that ends at lsn.
func (l *line) acknowledged(term core.Term, lsn core.LSN) {
	if lsn > l.ghost.end() {
		l.committed(fmt.Sprintf("a server of term %d", term), term, lsn)
	}
	l.acked = max(l.acked, lsn)
}
