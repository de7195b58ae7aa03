package fuzz

import (
	"bytes"
	"fmt"
	"slices"

	"xenon/core"
	"xenon/core/pageserver/reference"
	"xenon/core/wal"
	"xenon/fuzz/standin"
)

// A ghost is every byte of WAL that was ever committed, by anybody's account,
// and what a plain replay of it gives. It only grows.
type ghost struct {
	begin core.LSN
	wal   []byte
	dec   *wal.Decoder
	// past has the cluster as of every one of ends.
	past *reference.Past
	ends []core.LSN // of the beginning and of every record
	// plays has every record of a recorded relation, those before begin too.
	plays []play
}

// A play is one record of the n-th recorded relation, which ends at end.
type play struct {
	end core.LSN
	n   int
}

// newGhost begins at an LSN, with the cluster as it is there; prev is the start
// of the record before, 0 if it may be any.
func newGhost(begin, prev core.LSN, ref *reference.State) *ghost {
	return &ghost{begin: begin, dec: wal.NewDecoder(format, begin, prev), past: reference.NewPast(ref), ends: []core.LSN{begin}}
}

func (g *ghost) end() core.LSN { return g.begin + core.LSN(len(g.wal)) }

// at is the bytes from one LSN to another, both within the ghost.
func (g *ghost) at(from, to core.LSN) []byte { return g.wal[from-g.begin : to-g.begin] }

// grow takes committed bytes, which must be whole records. It copies them.
func (g *ghost) grow(b []byte) error {
	from := g.end()
	if len(g.wal)+len(b) > cap(g.wal) { // append itself would double short ones only
		g.wal = slices.Grow(g.wal, max(len(g.wal), 64<<10)+len(b))
	}
	g.wal = append(g.wal, b...)
	if err := g.dec.Feed(from, g.at(from, g.end())); err != nil {
		return err
	}
	last := from
	for {
		r, ok, err := g.dec.Next()
		if err != nil {
			return fmt.Errorf("committed WAL from %s to %s: %w", from, g.end(), err)
		}
		if !ok {
			break
		}
		if err := g.past.Apply(r); err != nil {
			return fmt.Errorf("replay of committed WAL: %w", err)
		}
		last = r.End
		g.ends = append(g.ends, r.End)
		if n, ok := standin.Recorded(r); ok {
			g.plays = append(g.plays, play{r.End, n})
		}
	}
	if last != g.end() {
		return fmt.Errorf("WAL is committed up to %s, the last whole record ends at %s", g.end(), last)
	}
	return nil
}

// until is the plays up to an LSN.
func (g *ghost) until(lsn core.LSN) []play {
	n := len(g.plays)
	for n > 0 && g.plays[n-1].end > lsn {
		n--
	}
	return g.plays[:n:n]
}

// played is how many records of each recorded relation there are up to an LSN.
func (g *ghost) played(lsn core.LSN) []int {
	list := make([]int, standin.RecordedRelations())
	for _, p := range g.until(lsn) {
		list[p.n]++
	}
	return list
}

// asOf is the cluster after the last record that ends at or before lsn.
func (g *ghost) asOf(lsn core.LSN) reference.View { return g.past.At(g.index(lsn)) }

// index is which of the ends is the last at or before lsn.
func (g *ghost) index(lsn core.LSN) int {
	lo, hi := 0, len(g.ends)
	for lo+1 < hi {
		if mid := (lo + hi) / 2; g.ends[mid] <= lsn {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// agree compares bytes that somebody has at lsn with the ghost, as far as both
// go.
func (g *ghost) agree(who string, lsn core.LSN, b []byte) error {
	n := min(len(b), max(0, int(g.end())-int(lsn)))
	if !bytes.Equal(g.at(lsn, lsn+core.LSN(n)), b[:n]) {
		return fmt.Errorf("%s has other WAL than was committed, between %s and %s", who, lsn, lsn+core.LSN(n))
	}
	return nil
}
