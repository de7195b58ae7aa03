package consensus_test

import (
	"testing"

	"xenon/consensus"
)

// TestStrand: the only voter that has the log dies right after the election,
// for good; the proposer gives up after a while, and not before, nor while
// somebody has the log.
func TestStrand(t *testing.T) {
	ahead := consensus.VoteResponse{Term: 1, Flush: at(5), History: first}
	behind := consensus.VoteResponse{Term: 1, Flush: at(2), History: first}
	p, conns, err := leader(ahead, behind)
	if err != nil {
		t.Fatal(err)
	}
	p.Lost(0, conns[0], 0)
	r := consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: at(2)}
	if err := p.Response(1, conns[1], &r, 0); err != nil {
		t.Fatal(err)
	}
	if p.Strand(9_999 * ms); p.Ended() != nil {
		t.Fatalf("ended early: %v", p.Ended())
	}
	if p.Strand(10_000 * ms); p.Ended() == nil || p.Ended().Kind != consensus.Stranded {
		t.Fatalf("ended with %v", p.Ended())
	}
	p, conns, err = leader(ahead, behind)
	if err != nil {
		t.Fatal(err)
	}
	r = consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: at(5)}
	if err := p.Response(0, conns[0], &r, 0); err != nil {
		t.Fatal(err)
	}
	if p.Strand(20_000 * ms); p.Ended() != nil {
		t.Fatalf("ended though a safekeeper has the log: %v", p.Ended())
	}
}
