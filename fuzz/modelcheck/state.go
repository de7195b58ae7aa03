package modelcheck

import "math/bits"

// The largest models that a state has room for.
const (
	MaxProposers = 3
	MaxAcceptors = 5
	MaxTerms     = 6
	MaxEntries   = 6

	terms = MaxTerms + 2   // term 0, and the first beyond the bound
	slots = MaxEntries + 1 // the first entry beyond the bound, too
)

// A history tells at which LSN each term begins; 0 is a term that is not in it.
type history [terms]uint8

// upTo is the history without terms that begin above lsn.
func (h history) upTo(lsn uint8) history {
	for t := range h {
		if h[t] > lsn {
			h[t] = 0
		}
	}
	return h
}

// last is the last term, which every history has: they begin with term 0.
func (h history) last() uint8 {
	for t := terms - 1; t > 0; t-- {
		if h[t] != 0 {
			return uint8(t)
		}
	}
	return 0
}

// after is the first term above t, terms if there is none.
func (h history) after(t int) int {
	for t++; t < terms && h[t] == 0; t++ {
	}
	return t
}

// A wal is a log: the term of each entry. The LSN of its first entry is 1.
type wal struct {
	len   uint8
	entry [slots]uint8
}

// flush is the LSN behind the last entry.
func (w *wal) flush() uint8 { return w.len + 1 }

// at is the term of the entry at an LSN.
func (w *wal) at(lsn uint8) uint8 { return w.entry[lsn-1] }

func (w *wal) append(term uint8) {
	w.entry[w.len] = term
	w.len++
}

// cut drops the entries from lsn on.
func (w *wal) cut(lsn uint8) {
	for ; w.len > 0 && w.len >= lsn; w.len-- {
		w.entry[w.len-1] = 0
	}
}

// A set is a set of acceptors, one bit each.
type set uint8

func (s set) has(a int) bool { return s&(1<<a) != 0 }

func count(s set) int { return bits.OnesCount8(uint8(s)) }

// majority tells whether s has a majority of of. Nothing has one of no members.
func (s set) majority(of set) bool { return count(s&of) > count(of)/2 }

// A conf is a membership configuration.
type conf struct {
	gen          uint8
	members, new set
	joint        bool // new is part of it
}

// has tells whether the acceptor is a member.
func (c conf) has(a int) bool { return c.members.has(a) || c.joint && c.new.has(a) }

// quorum tells whether s has a majority of each set of members.
func (c conf) quorum(s set) bool { return s.majority(c.members) && (!c.joint || s.majority(c.new)) }

// A vote is what an acceptor said of its log when it voted.
type vote struct {
	flush uint8 // 0: it did not vote
	hist  history
}

// less orders votes by how advanced their logs are.
func (v vote) less(w vote) bool {
	if a, b := v.hist.last(), w.hist.last(); a != b {
		return a < b
	}
	return v.flush < w.flush
}

type proposer struct {
	leader bool // else it campaigns
	term   uint8
	votes  [MaxAcceptors]vote
	hist   history
	log    wal
	next   [MaxAcceptors]uint8 // LSN of the next entry to send; 0: not yet truncated
	conf   conf
}

// voters is who voted.
func (p *proposer) voters() (s set) {
	for a := range p.votes {
		if p.votes[a].flush != 0 {
			s |= 1 << a
		}
	}
	return s
}

type acceptor struct {
	term uint8
	hist history // entries above its flush LSN included
	log  wal
	conf conf
}

// effective is the history of what the log holds.
func (a *acceptor) effective() history { return a.hist.upTo(a.log.flush()) }

// vote is what the acceptor says of its log.
func (a *acceptor) vote() vote { return vote{a.log.flush(), a.effective()} }

// A state is one state of a model. Unused places are zero.
type state struct {
	p         [MaxProposers]proposer
	a         [MaxAcceptors]acceptor
	committed [slots]uint8 // by LSN - 1: the terms of entries ever committed there, one bit each
	elected   [terms]uint8 // how many times each term was won
	store     conf
}

// diverge is the LSN up to which the log of an acceptor with history acc is
// that of a proposer: where the last term both have at the same place ends in
// either. Where it ends nowhere, it ends at flush.
func diverge(prop, acc history, flush uint8) uint8 {
	end := flush
	for i, j := 0, 0; i < terms && j < terms; i, j = prop.after(i), acc.after(j) {
		if i != j {
			continue
		}
		end = flush
		if n := prop.after(i); n < terms {
			end = min(end, prop[n])
		}
		if n := acc.after(j); n < terms {
			end = min(end, acc[n])
		}
	}
	return end
}
