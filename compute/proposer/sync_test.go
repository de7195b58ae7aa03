package proposer_test

import (
	"testing"

	"xenon/compute/proposer"
)

// TestPeersBringEachOtherLevel: a safekeeper that was away gets what it lacks
// from the others, and hears what is committed, though no proposer is there.
func TestPeersBringEachOtherLevel(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(nil)
	w.elect(0)
	w.write(100)
	w.commit()
	c.kill(2)
	for range 30 {
		w.write(100_000)
	}
	w.commit()
	c.level(0, w.at)
	c.level(1, w.at)
	w.stop()
	c.start(2)
	c.level(2, w.at)
	if s := c.status(2); s.Acceptor.Epoch != c.status(0).Acceptor.Epoch {
		t.Errorf("the copy is of term %d, the original of %d", s.Acceptor.Epoch, c.status(0).Acceptor.Epoch)
	}
}

// TestSync: what a proposer left behind that was killed is level, and known to
// be committed, after a sync; the tip is then told without another term.
func TestSync(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(nil)
	w.elect(0)
	w.write(100)
	w.commit()
	c.kill(2)
	for range 20 {
		w.write(20_000)
	}
	w.commit()
	acked := w.at
	w.stop()
	cfg := proposer.Config{TTID: ttid, Members: c.conf, Server: server}
	ctx, e := c.nodes[0].e.Context(), c.nodes[0].e
	lsn, err := proposer.Tip(ctx, e, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if lsn < acked {
		t.Fatalf("the log ends at %s, acknowledged was %s", lsn, acked)
	}
	for i := range 2 {
		if s := c.status(i); s.Flush != lsn || s.Commit != lsn {
			t.Errorf("safekeeper %d has flushed %s and committed %s, want %s", i+1, s.Flush, s.Commit, lsn)
		}
	}
	c.start(2)
	c.level(2, lsn)
	term := c.status(0).Acceptor.Term
	if again, err := proposer.Tip(ctx, e, cfg); err != nil || again != lsn {
		t.Errorf("the tip is %s, %v; want %s", again, err, lsn)
	}
	if now := c.status(0).Acceptor.Term; now != term {
		t.Errorf("asked where the log ends, safekeepers went from term %d to %d", term, now)
	}
}
