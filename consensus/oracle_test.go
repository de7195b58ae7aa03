package consensus_test

import (
	"bytes"
	"fmt"

	"xenon/consensus"
	"xenon/core"
)

// An oracle knows what was promised and committed, and holds the world to it.
// It computes everything its own way: a fault in the code is none in it.
type oracle struct {
	ghost    []byte // everything ever committed, from base on
	winners  map[core.Term]byte
	starts   map[core.Term]core.LSN
	promised map[core.NodeID]core.Term
	commits  map[*consensus.Acceptor]core.LSN
	props    map[*prop]core.LSN
}

func (o *oracle) init(w *world) {
	*o = oracle{nil, map[core.Term]byte{}, map[core.Term]core.LSN{}, map[core.NodeID]core.Term{},
		map[*consensus.Acceptor]core.LSN{}, map[*prop]core.LSN{}}
}

func law(ok bool, name, format string, args ...any) {
	core.Must(ok, "%s: %s", name, fmt.Sprintf(format, args...))
}

// voted: a vote that left the node is on its disk.
func (o *oracle) voted(n *node, r consensus.VoteResponse) {
	law(r.Term <= n.control.Term, "S8 promises", "node %d answered in term %d, durable is %d", n.id, r.Term, n.control.Term)
	law(!r.Granted || r.Term > o.promised[n.id], "S4 one vote", "node %d votes twice in term %d", n.id, r.Term)
	o.promised[n.id] = max(o.promised[n.id], r.Term)
	o.flushed(n, r.Flush)
}

func (o *oracle) reported(n *node, r consensus.AppendResponse) { o.flushed(n, r.Flush) }

// flushed: a reported flush LSN survives a crash now.
func (o *oracle) flushed(n *node, lsn core.LSN) {
	end := base + core.LSN(wholeRecords(n.durable))
	law(lsn <= end, "S8 promises", "node %d reports flush %s, durable is %s", n.id, lsn, end)
}

func (o *oracle) elected(p *prop) {
	prev, won := o.winners[p.term]
	law(!won, "S4 election safety", "term %d is won by %d and %d", p.term, prev, p.incarn)
	o.winners[p.term] = p.incarn
	law(int(p.StartLSN()-base) >= len(o.ghost), "S13 leader completeness",
		"term %d begins at %s, committed is %s", p.term, p.StartLSN(), base+core.LSN(len(o.ghost)))
	o.history(p.History())
}

// history: a term begins at one LSN, everywhere.
func (o *oracle) history(h consensus.History) {
	for i, s := range h {
		was, known := o.starts[s.Term]
		law(!known || was == s.LSN, "S10 histories", "term %d begins at %s and %s", s.Term, was, s.LSN)
		law(i == 0 || h[i-1].Term < s.Term && h[i-1].LSN <= s.LSN, "S10 histories", "%s is not sorted", h)
		o.starts[s.Term] = s.LSN
	}
}

// committed: what a proposer calls committed is on a majority, and for ever.
func (o *oracle) committed(w *world, p *prop) {
	lsn := p.CommitLSN()
	law(lsn >= o.props[p], "S9 monotone", "commit LSN of term %d falls from %s to %s", p.term, o.props[p], lsn)
	if lsn == o.props[p] {
		return
	}
	o.props[p] = lsn
	if o.props[p] == 0 {
		return
	}
	n := int(lsn - base)
	for _, node := range w.nodes {
		if !covers(node.control.History, p.term, lsn) || wholeRecords(node.durable) < n {
			continue
		}
		log := node.durable[:n]
		k := min(n, len(o.ghost))
		law(bytes.Equal(log[:k], o.ghost[:k]), "S1 log safety", "term %d commits other bytes below %s", p.term, base+core.LSN(k))
		if n > len(o.ghost) {
			o.ghost = bytes.Clone(log)
		}
	}
	law(len(o.ghost) >= n, "S2 durability", "term %d commits %s, which no log of its term holds", p.term, lsn)
}

// covers tells whether a log with this history has that of a term up to lsn: a
// later term may have begun behind it since.
func covers(h consensus.History, term core.Term, lsn core.LSN) bool {
	for i, s := range h {
		if s.Term == term {
			return i+1 == len(h) || h[i+1].LSN >= lsn
		}
	}
	return false
}

func (o *oracle) check(w *world) {
	copies, members := 0, w.members()
	for _, n := range w.nodes {
		if is(members, n) && wholeRecords(n.durable) >= len(o.ghost) && bytes.Equal(n.durable[:len(o.ghost)], o.ghost) {
			copies++
		}
		law(n.control.Term >= o.promised[n.id], "S8 promises", "node %d forgot term %d", n.id, o.promised[n.id])
		if n.acc != nil {
			o.acceptor(n)
		}
	}
	copies += w.lost() // which must not count for anything
	law(2*copies > len(members), "S2 durability", "%d durable copies of WAL up to %s in %v", copies, base+core.LSN(len(o.ghost)), members)
	for i, a := range w.nodes {
		for _, b := range w.nodes[:i] {
			o.agree(a, b)
		}
	}
}

func (o *oracle) acceptor(n *node) {
	commit := n.acc.CommitLSN()
	law(commit <= n.acc.FlushLSN(), "S9 commit below flush", "node %d: %s above %s", n.id, commit, n.acc.FlushLSN())
	law(commit >= o.commits[n.acc], "S9 monotone", "commit LSN of node %d falls", n.id)
	law(int(commit-min(commit, base)) <= len(o.ghost), "S9 commit is true", "node %d: %s", n.id, commit)
	o.commits[n.acc] = commit
	o.history(n.control.History)
	// Terms in a log never go back.
	wal, last := n.wal(), byte(0)
	for at := 0; at < wholeRecords(wal); at += recordLen {
		law(wal[at+2] >= last, "S5 log is monotonic", "node %d: a record of term %d after one of %d", n.id, wal[at+2], last)
		last = wal[at+2]
	}
}

// agree: logs that share a term have equal bytes up to where that term ends in
// either.
func (o *oracle) agree(a, b *node) {
	if a.acc == nil || b.acc == nil || a.acc.Pending() || b.acc.Pending() {
		return
	}
	ha, fa := effective(a)
	hb, fb := effective(b)
	end := core.LSN(0)
	for i := 0; i < len(ha) && i < len(hb) && ha[i].Term == hb[i].Term; i++ {
		end = min(termEnd(ha, i, fa), termEnd(hb, i, fb))
	}
	if end > base {
		law(bytes.Equal(a.wal()[:end-base], b.wal()[:end-base]), "S7 prefix agreement",
			"nodes %d (%s to %s) and %d (%s to %s) differ below %s", a.id, ha, fa, b.id, hb, fb, end)
	}
}

func effective(n *node) (consensus.History, core.LSN) {
	flush := base + core.LSN(wholeRecords(n.wal()))
	h := n.control.History
	for len(h) > 0 && h[len(h)-1].LSN > flush {
		h = h[:len(h)-1]
	}
	return h, flush
}

func termEnd(h consensus.History, i int, flush core.LSN) core.LSN {
	if i+1 < len(h) {
		return h[i+1].LSN
	}
	return flush
}
