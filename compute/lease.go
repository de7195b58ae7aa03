package compute

import (
	"context"
	"fmt"

	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/core/env"
)

// Reads says what the reads of an endpoint promise.
type Reads string

// The promises.
const (
	// Available reads ask nobody: a server that was superseded, and does not
	// know it yet, answers as of before.
	Available Reads = "available"
	// Linearizable reads see every commit that was acknowledged before them, by
	// whomever: a server answers while it has a lease.
	Linearizable Reads = "linearizable"
)

// ParseReads reads a promise; the empty string is Available.
func ParseReads(s string) (Reads, error) {
	switch r := Reads(s); r {
	case "":
		return Available, nil
	case Available, Linearizable:
		return r, nil
	}
	return "", fmt.Errorf(`reads = %q: want "linearizable" or "available"`, s)
}

// A Bound is until when a server may answer, as instants of the clock of its
// host. The zero Bound is none.
type Bound struct {
	// Freeze is when the server is stopped from answering, by somebody who
	// needs no word from the sidecar for it.
	Freeze env.Instant
	// End is when the lease ends: an answer that the server gave before, and
	// that has not left the gate by then, is kept there.
	End env.Instant
}

func boundOf(s proposer.LeaseState) Bound {
	end := s.End()
	if end == 0 {
		return Bound{}
	}
	return Bound{Freeze: end.Add(-consensus.LeaseMargin), End: end}
}

// hold begins to ask for the lease of a proposer that was just elected, if
// reads are to be linearizable.
func (l *life) hold(led proposer.Elected) {
	if l.ep.cfg.Reads != Linearizable {
		return
	}
	l.lease = proposer.NewLeaseholder(l.prop, led.Term)
	l.leasing.Go("read lease", l.lease.Run)
}

// alone waits until no earlier server of the branch can answer any more, and
// returns until when the one that is to be started may. No client is let in
// before: the log that it starts with may have commits that an earlier server
// does not show yet, and once they were read here, nobody may miss them there.
func (l *life) alone(ctx context.Context) (Bound, error) {
	if l.lease == nil {
		return Bound{}, nil
	}
	l.ep.note("waiting for the read lease of an earlier server to end")
	if err := l.lease.AwaitClear(ctx); err != nil {
		return Bound{}, err
	}
	return boundOf(l.lease.State()), nil
}

// extend lets the server go on with every renewal of its lease.
func (l *life) extend(ctx context.Context) error {
	var last proposer.LeaseState
	for {
		next, err := l.lease.Await(ctx, func(s proposer.LeaseState) bool { return s.Since > last.Since })
		if err != nil {
			return nil
		}
		last = next
		l.server.Extend(boundOf(next))
	}
}

// giveBack ends the lease of a server that is gone.
func (l *life) giveBack(ctx context.Context) {
	if l.lease != nil {
		l.lease.Release(ctx)
	}
}
