package consensus_test

import (
	"testing"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

const ms = env.Instant(time.Millisecond)

var level = consensus.VoteResponse{Term: 1, Flush: base, History: first}

func lead(t *testing.T) (*consensus.Proposer, []uint64) {
	t.Helper()
	p, conns, err := leader(level, level, level)
	if err != nil {
		t.Fatal(err)
	}
	return p, conns
}

// sent drains what is due for safekeeper i and returns the last append.
func sent(p *consensus.Proposer, i int, now env.Instant) (n int, last consensus.AppendRequest) {
	var m consensus.Message
	for p.Next(i, now, &m) {
		n++
		last = m.Append
	}
	return n, last
}

func TestHeartbeatsAndNotices(t *testing.T) {
	p, conns := lead(t)
	if n, a := sent(p, 0, 0); n != 1 || a.Begin != base || a.End != base {
		t.Fatalf("after elected: %d appends, %+v; want an empty one at once", n, a)
	}
	if n, _ := sent(p, 0, 249*ms); n != 0 {
		t.Errorf("%d appends before the heartbeat is due", n)
	}
	if n, _ := sent(p, 0, 250*ms); n != 1 {
		t.Errorf("%d heartbeats, want 1", n)
	}
	now := 300 * ms
	for i := range 2 {
		if err := p.Response(i, conns[i], &consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: base}, now); err != nil {
			t.Fatal(err)
		}
	}
	if n, a := sent(p, 0, now); n != 1 || a.Commit != base {
		t.Fatalf("%d notices of the first commit, %+v; want one at once", n, a)
	}
	p.Offer(at(1))
	if n, a := sent(p, 0, now); n != 1 || a.End != at(1) || len(a.WAL) != 0 {
		t.Fatalf("offered WAL is not due: %d, %+v", n, a)
	}
	sent(p, 1, now)
	for i := range 2 {
		p.Response(i, conns[i], &consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: at(1)}, now)
	}
	if n, _ := sent(p, 0, now+4*ms); n != 0 {
		t.Errorf("a commit is told alone before it could travel with WAL")
	}
	if wake := p.Wake(); wake > now+5*ms {
		t.Errorf("wakes at %d, a notice is due at %d", wake, now+5*ms)
	}
	if n, a := sent(p, 0, now+5*ms); n != 1 || a.Commit != at(1) {
		t.Errorf("%d notices, %+v", n, a)
	}
}

func TestSilenceAndBackOff(t *testing.T) {
	p, conns := lead(t)
	sent(p, 0, 0)
	silence := env.Instant(consensus.Silence)
	if p.Silent(0, silence-1) || !p.Silent(0, silence) {
		t.Error("silence is not seen when it is due")
	}
	now := silence
	p.Lost(0, conns[0], now)
	for _, wait := range []env.Instant{50, 100, 200, 400, 800, 1000, 1000} {
		if p.Dial(0, now+wait*ms-1) {
			t.Fatalf("dialled before %d ms", wait)
		}
		now += wait * ms
		if !p.Dial(0, now) || p.Dial(0, now) {
			t.Fatalf("not dialled once after %d ms", wait)
		}
		p.Lost(0, 0, now)
	}
}

func TestEnds(t *testing.T) {
	newer := three()
	newer.Generation = 2
	tests := []struct {
		name string
		do   func(p *consensus.Proposer, conns []uint64) error
		want consensus.EndKind
	}{
		{"an answer of a higher term", func(p *consensus.Proposer, conns []uint64) error {
			return p.Response(1, conns[1], &consensus.AppendResponse{Generation: 1, Term: p.Term() + 1}, 0)
		}, consensus.Superseded},
		{"a greeting of a higher term", func(p *consensus.Proposer, _ []uint64) error {
			return regreet(p, consensus.AcceptorGreeting{Node: 2, Config: three(), Term: p.Term() + 1})
		}, consensus.Superseded},
		{"a greeting of a newer configuration", func(p *consensus.Proposer, _ []uint64) error {
			return regreet(p, consensus.AcceptorGreeting{Node: 2, Config: newer, Term: p.Term()})
		}, consensus.Reconfigured},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, conns := lead(t)
			if err := test.do(p, conns); err != nil {
				t.Fatal(err)
			}
			end := p.Ended()
			if end == nil || end.Kind != test.want || end.Node != 2 {
				t.Fatalf("ended: %v", end)
			}
			if n, _ := sent(p, 0, 1000*ms); n != 0 || p.Dial(1, 5000*ms) {
				t.Error("an ended proposer goes on")
			}
		})
	}
}

// regreet reconnects safekeeper 2, which greets with m.
func regreet(p *consensus.Proposer, m consensus.AcceptorGreeting) error {
	p.Lost(1, 0, 0)
	p.Dial(1, 60*ms)
	conn := p.Connected(1, 60*ms)
	var out consensus.Message
	p.Next(1, 60*ms, &out)
	return p.Greeting(1, conn, m, 60*ms)
}

func TestRefusedVoteEndsTheCampaign(t *testing.T) {
	p, err := consensus.NewProposer(consensus.ProposerConfig{Config: three(), Server: server, Above: 4})
	if err != nil {
		t.Fatal(err)
	}
	var m consensus.Message
	conns := make([]uint64, 2)
	for i := range conns {
		p.Dial(i, 0)
		conns[i] = p.Connected(i, 0)
		p.Next(i, 0, &m)
		if err := p.Greeting(i, conns[i], consensus.AcceptorGreeting{Node: core.NodeID(i + 1), Config: three(), Term: 2}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if p.Term() != 5 {
		t.Errorf("campaigns in term %d, want 5: above what it was told", p.Term())
	}
	p.Next(0, 0, &m)
	if err := p.Verdict(0, conns[0], consensus.VoteResponse{Generation: 1, Term: 5, Flush: base}, 0); err != nil {
		t.Fatal(err)
	}
	if end := p.Ended(); end == nil || end.Kind != consensus.Outvoted {
		t.Errorf("ended: %v", end)
	}
}

// A lost connection takes no vote back, and an answer from it counts for
// nothing.
func TestOldConnections(t *testing.T) {
	p, conns := lead(t)
	p.Offer(at(5))
	p.Lost(1, conns[1], 0)
	p.Dial(1, 60*ms)
	fresh := p.Connected(1, 60*ms)
	if err := p.Response(1, conns[1], &consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: at(5)}, 60*ms); err != nil {
		t.Fatal(err)
	}
	if s := p.Peer(1); s.Flush != 0 || s.State != consensus.Handshake {
		t.Errorf("an answer of connection %d counts on connection %d: %+v", conns[1], fresh, s)
	}
}

func TestLaggardIsGivenADonor(t *testing.T) {
	p, conns := lead(t)
	p.Offer(at(9))
	for i := range 2 {
		sent(p, i, 0)
		p.Response(i, conns[i], &consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: at(9 - i)}, 0)
	}
	p.Forget(at(6))
	if n, a := sent(p, 2, 0); n != 1 || a.End != base {
		t.Fatalf("%d appends up to %s: WAL that is not local was sent", n, a.End)
	}
	g, ok := p.Gap(2)
	if !ok || g.Begin != base || g.End != at(6) || g.Donor.ID != 1 || g.Term != p.Term() {
		t.Fatalf("gap %+v, %t", g, ok)
	}
	var m consensus.Message
	if p.Fill(2, conns[2], at(1), at(2), 0, &m) || p.Fill(2, conns[2]+1, base, at(2), 0, &m) {
		t.Error("WAL that does not continue the stream is taken")
	}
	if !p.Fill(2, conns[2], base, at(6), 0, &m) || m.Append.Begin != base || m.Append.End != at(6) {
		t.Fatalf("fill: %+v", m.Append)
	}
	if _, ok := p.Gap(2); ok {
		t.Error("the gap is still there")
	}
	if n, a := sent(p, 2, 0); n != 1 || a.Begin != at(6) || a.End != at(9) {
		t.Errorf("%d appends, %+v", n, a)
	}
}
