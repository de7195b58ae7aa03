package safekeeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

// woundedAfter is how often in a row, with reviveEvery in between, the same
// sector must not have been readable before WAL counts as lost with it: a disk
// that fails for a moment has lost nothing.
const woundedAfter = 3

// woundText says what a wound means and what can be done.
func (t *Timeline) woundText(term core.Term) string {
	return fmt.Sprintf("the end of its log was lost in term %d and is on its way back from the others: until then this safekeeper gives no votes; "+
		"if it does not come back, replace the safekeeper with `xenon membership replace`", term)
}

// treated is the term in which the log was made anew since its end was lost.
func (t *Timeline) treated() (term core.Term) {
	t.step(func(a *consensus.Acceptor) error {
		term = a.Treated()
		if !a.Wounded() {
			term = 0
		}
		return nil
	})
	return term
}

// heal tells the acceptor what peers reported that were asked after the log was
// treated in a term.
func (t *Timeline) heal(term core.Term, reports []consensus.PeerReport) error {
	return t.step(func(a *consensus.Acceptor) error {
		c := a.Heal(term, reports)
		if c == nil {
			return nil
		}
		if err := t.persist(c); err != nil {
			return t.fail(err)
		}
		t.node.e.Trace().Note("safekeeper.healed", t.id.Timeline.Tag(), uint64(a.Term()), uint64(a.FlushLSN()), uint64(a.CommitLSN()))
		t.node.e.Log().Info("the lost end of the log is back", "timeline", t.id.String(), "flush", a.FlushLSN().String())
		return nil
	})
}

// wound notes durably that the log ends before what may have been acknowledged;
// the caller loads the timeline anew.
func (t *Timeline) wound(c *consensus.Control, at core.LSN) error {
	w := c.Wound()
	if err := t.persist(&w); err != nil {
		return err
	}
	t.node.e.Trace().Note("safekeeper.wounded", t.id.Timeline.Tag(), uint64(w.Lost), uint64(at), uint64(w.Commit))
	t.node.e.Log().Error("the end of the log was lost", "timeline", t.id.String(), "sector", at.String(), "commit", w.Commit.String(), "term", uint64(w.Lost))
	*c = w
	return nil
}

// cutShort is where the log of a wounded safekeeper ends at the latest: where the
// disk does not give it back. A loss that the control file does not know of, in a
// later term than the wound, is one to be noted first; 0 then, and if there is
// none.
func (t *Timeline) cutShort(c *consensus.Control) core.LSN {
	if c.Lost == 0 || c.Lost != c.Term {
		return 0
	}
	at, found := t.segs.unreadable(c.Commit)
	if !found {
		return 0
	}
	t.node.e.Trace().Note("safekeeper.wounded", t.id.Timeline.Tag(), uint64(c.Lost), uint64(at), uint64(c.Commit))
	return at
}

// unreadable finds the first place at or above lsn, a sector's start, that the
// disk has and does not give back, if there is one.
func (s *segments) unreadable(lsn core.LSN) (at core.LSN, found bool) {
	r := segmentReader{s: s}
	defer r.close()
	buf := make([]byte, len(zeroes))
	for at = lsn &^ (sector - 1); ; {
		n, err := r.readAround(buf, at)
		switch {
		case n > 0:
			at += core.LSN(n)
		case errors.Is(err, fs.ErrNotExist):
			return 0, false
		default:
			return at, err != nil
		}
	}
}

// sector is how much a disk loses at least.
const sector = 512

// readAround is read, but gives what is before a place that cannot be read.
func (r *segmentReader) readAround(p []byte, at core.LSN) (n int, err error) {
	for {
		if n, err = r.read(p, at); err == nil || errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		if len(p) <= sector {
			return 0, err
		}
		p = p[:max(sector, len(p)/2&^(sector-1))]
	}
}

// damagedRead tells whether an error of reading WAL may be of the disk's own
// making: something else than a file that is not there.
func damagedRead(err error) bool {
	return errors.Is(err, env.ErrIO) || errors.Is(err, env.ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF)
}
