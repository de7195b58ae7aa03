package proposer_test

import (
	"os"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/wire"
)

// TestLongHistory: a server that does not start is started anew every few
// seconds, and each start is a term. The log of a timeline with many thousands
// of terms must be open to one more.
func TestLongHistory(t *testing.T) {
	terms := 20_000
	if os.Getenv("XENON_FULL") == "1" {
		terms = 500_000
	}
	c := newCluster(t, 3)
	history := make(consensus.History, terms)
	for i := range history {
		history[i] = consensus.TermSwitch{Term: core.Term(i + 1), LSN: startAt}
	}
	for i := range c.nodes {
		c.adopt(i, history)
	}
	c.kill(2) // and its history is read back
	c.start(2)
	w := c.compute(nil)
	if x := w.elect(0); x.Term != core.Term(terms+1) || x.Start != startAt {
		t.Fatalf("elected %+v", x)
	}
	w.write(100)
	w.commit()
	for i := range c.nodes {
		c.level(i, w.at)
	}
}

// adopt has a safekeeper take a history as a proposer would that was elected
// in its last term.
func (c *cluster) adopt(i int, h consensus.History) {
	c.t.Helper()
	e := c.nodes[i].e
	client, err := wire.Connect(e.Context(), e, c.addr(i), wire.ClientConfig{TTID: ttid, Limit: wire.ProposerLimit})
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	if err := client.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')"); err != nil {
		c.t.Fatal(err)
	}
	term := h.LastTerm()
	greeting := consensus.ProposerGreeting{TTID: ttid, Config: c.conf, Server: server}
	elected := consensus.ProposerElected{Generation: 1, Term: term, Start: startAt, History: h}
	last := consensus.AppendRequest{Generation: 1, Term: term, Begin: startAt, End: startAt}
	client.CopyData(wire.AppendProposerGreeting(nil, &greeting), nil)
	client.CopyData(wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: term}), nil)
	client.CopyData(wire.AppendProposerElected(nil, &elected), nil)
	client.CopyData(wire.AppendAppendRequest(nil, &last), nil)
	if err := client.Flush(); err != nil {
		c.t.Fatal(err)
	}
	for range 3 { // greeting, vote, and what is answered to the append
		if _, err := client.ReadCopy(); err != nil {
			c.t.Fatalf("safekeeper %d and a history of %d terms: %v", i+1, len(h), err)
		}
	}
}
