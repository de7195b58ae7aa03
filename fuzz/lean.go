package fuzz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
)

// lean waits until the object store has all whole segments and the safekeepers
// have let go of them, and then reads all WAL from one of them.
func (r *run) lean(ctx context.Context, e env.Env) error {
	dice, counts := e.Rand("lean"), r.j.counts.WALCounts
	for _, l := range r.standing() {
		last := core.SegmentStart(l.ghost.end().Segment(segmentSize), segmentSize)
		for _, k := range l.keepers {
			r.stage = fmt.Sprintf("waiting for %s to let go of the WAL of %s below %s", k.name, l.name, last)
			if err := await(ctx, e, func() bool { return k.isLean(l.ghost.begin, last) }); err != nil {
				return err
			}
		}
		set := l.set(r.c)
		member := set[dice.IntN(len(set))]
		r.stage = fmt.Sprintf("waiting for all WAL of %s to be read from %s", l.name, member.Host)
		for {
			err := l.readAll(ctx, e, member)
			if err == nil || errors.As(err, new(*Violation)) {
				break
			}
			if err := e.Clock().Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
	}
	r.j.counts.WALCounts = counts // what the verdict does is no part of the run
	return nil
}

// isLean tells whether a safekeeper has no whole segment below last, and says
// that all of them are stored.
func (k *keeper) isLean(begin, last core.LSN) bool {
	c, err := k.control()
	if err != nil || c.Backup < last && begin < last {
		return false
	}
	var b [1]byte
	for at := core.SegmentStart(begin.Segment(segmentSize), segmentSize); at < last; at += segmentSize {
		name := path.Join(k.dir, core.SegmentName(1, at.Segment(segmentSize), segmentSize))
		for _, name := range []string{name, name + ".partial"} {
			if _, err := k.disk.ReadDurable(name, b[:], 0); err == nil {
				return false
			}
		}
	}
	return true
}

// readAll reads all committed WAL from a safekeeper, as a reader does that
// begins anew, and compares it with what was committed.
func (l *line) readAll(ctx context.Context, e env.Env, from consensus.Member) error {
	g := l.ghost
	s, err := wire.OpenWALCopy(ctx, e, from, wire.ClientConfig{ApplicationName: "judge", TTID: l.id, Timeout: 30 * time.Second}, g.begin, 0, 0)
	if err != nil {
		return err
	}
	defer s.Close()
	for at := g.begin; at < g.end(); {
		b, err := s.Next()
		if err != nil {
			return err
		}
		if end := at + core.LSN(len(b)); end > g.end() || !bytes.Equal(b, g.at(at, end)) {
			err := &Violation{ServedWAL, fmt.Errorf("%s serves other WAL of %s than was committed, between %s and %s", from.Host, l.name, at, end)}
			l.j.c.w.Fail(err)
			return err
		}
		at += core.LSN(len(b))
	}
	return nil
}
