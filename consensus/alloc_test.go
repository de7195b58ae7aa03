package consensus_test

import (
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

// A commit costs neither side an allocation: it is the hottest path there is.
func TestAppendAllocatesNothing(t *testing.T) {
	w := newWorld(3, 1, func(int) int { return 1 })
	w.quiet = true
	p := w.props[0]
	for range 50 {
		w.tick()
		for _, c := range w.conns {
			w.toAcceptor(c)
			w.toProposer(c)
		}
		for _, n := range w.nodes {
			n.beginFlush()
			w.endFlush(n)
		}
	}
	end := p.AvailableLSN()
	if p.CommitLSN() != end || end == 0 {
		t.Fatalf("not level: commit %s of %s", p.CommitLSN(), end)
	}
	var m consensus.Message
	var now = w.now
	wal := make([]byte, recordLen)
	allocs := testing.AllocsPerRun(200, func() {
		now = now.Add(1)
		end += recordLen
		p.Offer(end)
		for i, n := range w.nodes {
			commit(t, p, w.conns[i], n, &m, wal, now)
		}
		p.Forget(p.CommitLSN())
	})
	if p.CommitLSN() != end {
		t.Fatalf("commit %s, want %s", p.CommitLSN(), end)
	}
	if allocs != 0 {
		t.Errorf("%v allocations for a commit, want none", allocs)
	}
}

// commit takes one append from the proposer through an acceptor and back.
func commit(t *testing.T, p *prop, c *conn, n *node, m *consensus.Message, wal []byte, now env.Instant) {
	if !p.Next(c.at, now, m) || m.Append.End-m.Append.Begin != core.LSN(len(wal)) {
		t.Fatalf("no append for safekeeper %d: %+v", n.id, m.Append)
	}
	m.Append.WAL = wal
	if out, err := n.acc.Append(&c.session, m.Append, m.Append.End); err != nil || !out.Write {
		t.Fatalf("append: %+v, %v", out, err)
	}
	mark, dirty := n.acc.Unflushed()
	if !dirty {
		t.Fatal("nothing to flush")
	}
	n.acc.Flushed(mark)
	r := n.acc.Response()
	if err := p.Response(c.at, c.num, &r, now); err != nil {
		t.Fatal(err)
	}
}
