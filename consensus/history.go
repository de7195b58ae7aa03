package consensus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/faults"
)

// ErrHistory reports term histories that contradict each other: one term with
// two beginnings, or a log that would have to give up committed WAL. No correct
// proposer or acceptor causes it; it is never retried silently.
var ErrHistory = errors.New("term histories contradict each other")

// A TermSwitch says that the proposer of Term writes from LSN on.
type TermSwitch struct {
	Term core.Term
	LSN  core.LSN
}

func (s TermSwitch) String() string { return fmt.Sprintf("%d@%s", s.Term, s.LSN) }

// A History lists the terms that wrote a log: terms strictly grow, LSNs never
// fall. The same term begins at the same LSN in every history. A History is
// never changed once made.
type History []TermSwitch

func (h History) String() string {
	parts := make([]string, len(h))
	for i, s := range h {
		parts[i] = s.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// Check reports a history that breaks its own laws.
func (h History) Check() error {
	for i, s := range h {
		if s.Term == 0 {
			return fmt.Errorf("term history %s: term 0 never writes", h)
		}
		if i > 0 && (s.Term <= h[i-1].Term || s.LSN < h[i-1].LSN) {
			return fmt.Errorf("term history %s: entry %s goes back", h, s)
		}
	}
	return nil
}

// UpTo is the part of h that a log flushed to lsn has taken part in: entries at
// or below lsn. An entry exactly at lsn counts, as if an election wrote a
// record of no length: an acceptor that is level with a new term gets that term
// as its last one without a byte of WAL.
func (h History) UpTo(lsn core.LSN) History {
	n := 0
	for n < len(h) && h[n].LSN <= lsn {
		if faults.On && faults.Hit(faults.StrictUpTo) && h[n].LSN == lsn {
			break
		}
		n++
	}
	return h[:n:n]
}

// LastTerm is the term of the last entry, 0 if there is none.
func (h History) LastTerm() core.Term {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].Term
}

// With is h and one more entry; h stays as it is.
func (h History) With(s TermSwitch) History {
	return append(slices.Clip(slices.Clone(h)), s)
}

// A Position orders logs: the one with the later last term is ahead, and of
// equal terms the longer one.
type Position struct {
	Term  core.Term // last term of the effective history
	Flush core.LSN
}

// Less tells whether p is behind q.
func (p Position) Less(q Position) bool {
	if faults.On && faults.Hit(faults.DonorByLength) {
		return p.Flush < q.Flush
	}
	if p.Term != q.Term {
		return p.Term < q.Term
	}
	return p.Flush < q.Flush
}

// Diverge finds the highest LSN up to which the log of an acceptor, with the
// effective history acc and flushed to flush, is the log that prop describes.
// The proposer streams from there and the acceptor drops what it has beyond.
// Both sides compute it.
func Diverge(prop, acc History, flush core.LSN) (core.LSN, error) {
	if len(prop) == 0 {
		return 0, fmt.Errorf("%w: the proposer's is empty", ErrHistory)
	}
	n, err := commonPrefix(prop, acc)
	switch {
	case err != nil:
		return 0, err
	case n == 0 && faults.On && faults.Hit(faults.NoPrefixKeepsLog):
		return flush, nil
	case n == 0:
		// Nothing in common: the acceptor is empty, or holds what no majority
		// ever knew of, since a committed term is in every later history.
		return prop[0].LSN, nil
	case n == len(prop) && n < len(acc):
		return 0, fmt.Errorf("%w: acceptor %s is ahead of proposer %s", ErrHistory, acc, prop)
	case n == len(prop):
		return flush, nil
	}
	// The last common term ended in both logs, in each where the next began.
	end := flush
	if n < len(acc) {
		end = acc[n].LSN
	}
	if faults.On && faults.Hit(faults.IgnoreProposerEnd) {
		return end, nil
	}
	return min(end, prop[n].LSN), nil
}

// commonPrefix counts the leading entries that have equal terms.
func commonPrefix(a, b History) (int, error) {
	n := 0
	for n < len(a) && n < len(b) && a[n].Term == b[n].Term {
		if a[n].LSN != b[n].LSN && !(faults.On && faults.Hit(faults.StartsUncompared)) {
			return 0, fmt.Errorf("%w: term %d begins at %s in %s and at %s in %s",
				ErrHistory, a[n].Term, a[n].LSN, a, b[n].LSN, b)
		}
		n++
	}
	return n, nil
}
