package proposer_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/core"
)

func TestElectWriteCommit(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(nil)
	if x := w.elect(0); x.Start != startAt || x.Term == 0 {
		t.Fatalf("elected %+v, want WAL to begin at %s", x, startAt)
	}
	for range 200 {
		w.write(300)
		w.commit()
	}
	for i := range c.nodes {
		c.level(i, w.at)
	}
	got := make([]byte, len(w.log))
	if _, err := w.ReadWAL(w.ctx(), startAt, got); err != nil || !bytes.Equal(got, w.log) {
		t.Fatalf("WAL read back differs: %v", err)
	}
	st := w.Status()
	if st.Phase != consensus.Leading || st.Commit != w.at || len(st.Peers) != 3 || st.Peers[0].State != consensus.Active {
		t.Fatalf("status %+v", st)
	}
}

// A minority that is down, or comes back empty-handed after the buffer moved
// on, neither holds up commits nor stays behind.
func TestLaggardIsBroughtLevel(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(func(cfg *proposer.Config) { cfg.BufferBytes = 1 })
	w.elect(0)
	w.write(100)
	w.commit()
	c.kill(2)
	for range 60 {
		w.write(100_000) // records longer than an append, over segments and blocks
		w.commit()
	}
	if local := w.Status().Local; local <= startAt {
		t.Fatalf("the buffer still begins at %s: nothing would be read back", local)
	}
	c.start(2)
	c.level(2, w.at)
	got := make([]byte, len(w.log))
	if _, err := w.ReadWAL(w.ctx(), startAt, got); err != nil || !bytes.Equal(got, w.log) {
		t.Fatalf("WAL read back differs: %v", err)
	}
}

func TestNoQuorumThenQuorum(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(nil)
	w.elect(0)
	c.kill(0)
	c.kill(1)
	w.write(1000)
	for range 40 {
		w.write(200_000) // nobody waits for safekeepers
	}
	before := w.Committed()
	if before >= w.at {
		t.Fatalf("%s is committed by a minority", before)
	}
	c.start(0)
	w.commit()
	c.start(1)
	c.level(1, w.at)
}

func TestNewerProposerFences(t *testing.T) {
	c := newCluster(t, 3)
	old := c.compute(nil)
	x := old.elect(0)
	old.write(500)
	old.commit()
	last := old.at
	young := c.compute(nil)
	y := young.elect(x.Start)
	if y.Term <= x.Term || y.Start != last {
		t.Fatalf("elected %+v after %+v, committed was %s", y, x, last)
	}
	err := <-old.done // idle: a heartbeat's answer tells it
	var end *consensus.End
	if !errors.As(err, &end) || end.Kind != consensus.Superseded || end.Term < y.Term {
		t.Fatalf("the older proposer ended with %v", err)
	}
	if err := old.Offer(old.at, []byte{1}); !errors.As(err, &end) {
		t.Errorf("offer to a superseded proposer: %v", err)
	}
	if err := old.AwaitCommit(old.ctx(), last+1); !errors.As(err, &end) {
		t.Errorf("wait at a superseded proposer: %v", err)
	}
	young.write(100)
	young.commit()
}

// Safekeepers die and come back at random while commits go on; whatever was
// acknowledged is in the log of the next proposer.
func TestCommitsSurviveKills(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(nil)
	w.elect(0)
	for round := range 6 {
		i := round % 3
		for range 20 {
			w.write(2000)
			w.commit()
		}
		c.kill(i)
		for range 20 {
			w.write(2000)
			w.commit()
		}
		c.start(i)
		c.level(i, w.at)
	}
	w.stop()
	next := c.compute(nil)
	if x := next.elect(0); x.Start != w.at {
		t.Fatalf("the next proposer begins at %s, acknowledged was %s", x.Start, w.at)
	}
	got := make([]byte, len(w.log))
	if _, err := next.ReadWAL(next.ctx(), startAt, got); err != nil || !bytes.Equal(got, w.log) {
		t.Fatalf("the log of the next proposer differs: %v", err)
	}
}

// Two proposers that start at once end with one leader.
func TestDuel(t *testing.T) {
	c := newCluster(t, 3)
	a, b := c.compute(nil), c.compute(nil)
	var winner *compute
	select {
	case <-a.done:
		winner = b
	case <-b.done:
		winner = a
	case <-time.After(time.Minute):
		t.Fatal("two proposers, no loser")
	}
	winner.elect(0)
	winner.write(10)
	winner.commit()
}

func TestOfferBeforeElection(t *testing.T) {
	c := newCluster(t, 3)
	c.kill(0)
	c.kill(1)
	w := c.compute(nil)
	if err := w.Offer(core.LSN(1), []byte{1}); !errors.Is(err, proposer.ErrNotElected) {
		t.Fatalf("offer before election: %v", err)
	}
}

func BenchmarkCommit(b *testing.B) {
	c := newCluster(b, 3)
	w := c.compute(nil)
	w.elect(0)
	w.write(200)
	w.commit()
	b.ReportAllocs()
	for b.Loop() {
		w.write(200)
		w.commit()
		w.log = w.log[:0]
	}
}

// When half of the electing majority lags, Elect returns only once it has been
// given everything up to X: losing the other half then loses nothing.
func TestElectBringsAMajorityLevel(t *testing.T) {
	c := newCluster(t, 3)
	w := c.compute(nil)
	w.elect(0)
	c.kill(2)
	for range 30 {
		w.write(50_000)
	}
	w.commit()
	w.stop()
	c.kill(1)
	c.start(2)
	next := c.compute(nil)
	x := next.elect(0)
	if x.Start != w.at {
		t.Fatalf("X is %s, acknowledged was %s", x.Start, w.at)
	}
	if s := c.status(2); s.Flush != x.Start || s.Acceptor.Epoch != x.Term {
		t.Fatalf("elected in term %d at %s with a safekeeper at %s of term %d", x.Term, x.Start, s.Flush, s.Acceptor.Epoch)
	}
}
