package consensus_test

import (
	"errors"
	"fmt"
	"testing"

	"xenon/consensus"
	"xenon/core"
)

// The scenarios are the short stories behind the rules: each returns an error
// if the rule is not kept. They are the mutants' judges where random worlds
// would take long to come by the story.
var scenarios = []struct {
	name string
	run  func() error
}{
	{"the donor has the latest term, not the longest log", donorByTerm},
	{"a vote flushes what was written first", voteFlushes},
	{"a late elected message cuts nothing", lateElected},
	{"an append needs elected on its own connection", appendNeedsElected},
	{"an append of an older term is refused", appendOldTerm},
	{"a gap is refused", gapRefused},
	{"copies of older terms do not commit", oldTermsDoNotCommit},
	{"the commit LSN stays though a safekeeper lies", commitStays},
	{"a commit beyond the flush is kept for later", commitCapped},
	{"a flush from before a truncation counts for nothing", staleFlush},
	{"a peer of another last term tells nothing of commits", learnsFromEquals},
	{"a log is copied in its own term only", copiesOwnTerm},
	{"a log is level once a majority knows", syncedOnceKnown},
	{"a foreign proposer is refused", foreignRefused},
	{"lost committed WAL is refused", lostRefused},
}

func TestScenarios(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			if err := s.run(); err != nil {
				t.Error(err)
			}
		})
	}
}

// at is the LSN after n records.
func at(n int) core.LSN { return base + core.LSN(n*recordLen) }

func three() consensus.Configuration {
	c := consensus.Configuration{Generation: 1}
	for id := range core.NodeID(3) {
		c.Members = append(c.Members, consensus.Member{ID: id + 1, Host: "sk", Port: 1})
	}
	return c
}

// acceptor makes one whose log has the history h and ends at flush, and a
// session that was greeted.
func acceptor(term core.Term, h consensus.History, flush core.LSN) (*consensus.Acceptor, *consensus.Session) {
	c := consensus.Control{Config: three(), Server: server, Term: term, History: h, TimelineStart: base}
	a, err := consensus.NewAcceptor(1, core.TTID{}, c, flush)
	if err != nil {
		panic(err)
	}
	return a, greeted(a)
}

func greeted(a *consensus.Acceptor) *consensus.Session {
	s := new(consensus.Session)
	if _, _, err := a.Greet(s, consensus.ProposerGreeting{Config: three(), Server: server}); err != nil {
		panic(err)
	}
	return s
}

func elect(a *consensus.Acceptor, s *consensus.Session, term core.Term, start core.LSN, h consensus.History) error {
	_, err := a.Elect(s, consensus.ProposerElected{Generation: 1, Term: term, Start: start, History: h})
	if err == nil {
		a.Truncated()
	}
	return err
}

func appendTo(a *consensus.Acceptor, s *consensus.Session, term core.Term, from, to int, commit core.LSN) (consensus.AppendOutput, error) {
	return a.Append(s, consensus.AppendRequest{
		Generation: 1, Term: term, Begin: at(from), End: at(to), Commit: commit, WAL: make([]byte, (to-from)*recordLen),
	}, at(to))
}

func flush(a *consensus.Acceptor) {
	mark, _ := a.Unflushed()
	a.Flushed(mark)
}

// leader makes a proposer that is elected by voters 0, 1 … with these logs.
func leader(votes ...consensus.VoteResponse) (*consensus.Proposer, []uint64, error) {
	return leaderOf(consensus.ProposerConfig{Config: three(), Server: server}, votes...)
}

func leaderOf(cfg consensus.ProposerConfig, votes ...consensus.VoteResponse) (*consensus.Proposer, []uint64, error) {
	p, err := consensus.NewProposer(cfg)
	if err != nil {
		return nil, nil, err
	}
	var m consensus.Message
	conns := make([]uint64, len(votes))
	for i := range votes {
		p.Dial(i, 0)
		conns[i] = p.Connected(i, 0)
		p.Next(i, 0, &m)
		if err := p.Greeting(i, conns[i], consensus.AcceptorGreeting{Node: core.NodeID(i + 1), Config: three(), Term: votes[i].Term}, 0); err != nil {
			return nil, nil, err
		}
	}
	for i, v := range votes {
		p.Next(i, 0, &m)
		v.Generation, v.Term, v.Granted = 1, p.Term(), true
		if err := p.Verdict(i, conns[i], v, 0); err != nil {
			return nil, nil, err
		}
	}
	if p.Phase() != consensus.Leading {
		return nil, nil, fmt.Errorf("not elected: %v", p.Ended())
	}
	for i := range votes {
		p.Next(i, 0, &m)
	}
	return p, conns, nil
}

func ack(p *consensus.Proposer, i int, conn uint64, flush core.LSN) error {
	return p.Response(i, conn, &consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: flush}, 0)
}

var (
	first  = consensus.History{{Term: 1, LSN: base}}
	second = first.With(consensus.TermSwitch{Term: 2, LSN: at(1)})
)

func donorByTerm() error {
	p, _, err := leader(
		consensus.VoteResponse{Term: 1, Flush: at(10), History: first},
		consensus.VoteResponse{Term: 2, Flush: at(2), History: second})
	if err == nil && p.StartLSN() != at(2) {
		err = fmt.Errorf("term begins at %s, want %s, which was committed", p.StartLSN(), at(2))
	}
	return err
}

func voteFlushes() error {
	a, s := acceptor(1, first, base)
	if err := errors.Join(elect(a, s, 1, base, first)); err != nil {
		return err
	}
	if _, err := appendTo(a, s, 1, 0, 1, 0); err != nil {
		return err
	}
	mark, _ := a.Unflushed()
	r, _, err := a.Vote(greeted(a), consensus.VoteRequest{Generation: 1, Term: 2})
	a.Flushed(mark)
	if err == nil && r.Flush != a.FlushLSN() {
		err = fmt.Errorf("the vote told %s, and in its term the flush LSN is %s", r.Flush, a.FlushLSN())
	}
	return err
}

func lateElected() error {
	a, s := acceptor(1, nil, base)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	if _, err := appendTo(a, s, 1, 0, 2, 0); err != nil {
		return err
	}
	flush(a)
	if err := elect(a, greeted(a), 1, base, first); !errors.Is(err, consensus.ErrOrder) || a.FlushLSN() != at(2) {
		return fmt.Errorf("acknowledged was %s, now it is %s (%v)", at(2), a.FlushLSN(), err)
	}
	return nil
}

func appendNeedsElected() error {
	a, s := acceptor(1, nil, base)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	other := greeted(a)
	if _, _, err := a.Vote(other, consensus.VoteRequest{Generation: 1, Term: 2}); err != nil {
		return err
	}
	if _, err := appendTo(a, other, 2, 0, 1, 0); !errors.Is(err, consensus.ErrOrder) {
		return fmt.Errorf("taken: %v", err)
	}
	return nil
}

func appendOldTerm() error {
	a, s := acceptor(1, nil, base)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	if _, _, err := a.Vote(greeted(a), consensus.VoteRequest{Generation: 1, Term: 2}); err != nil {
		return err
	}
	out, err := appendTo(a, s, 1, 0, 1, 0)
	if err == nil && (!out.Refuse || out.Write) {
		err = fmt.Errorf("taken: %+v", out)
	}
	if r := a.Refusal(); err == nil && (r.Term != 2 || r.Flush != 0) {
		err = fmt.Errorf("the refusal says %+v", r)
	}
	return err
}

func gapRefused() error {
	a, s := acceptor(1, nil, base)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	if _, err := appendTo(a, s, 1, 1, 2, 0); !errors.Is(err, consensus.ErrOrder) {
		return fmt.Errorf("taken: %v", err)
	}
	return nil
}

// oldTermsDoNotCommit is figure 8 of the Raft paper in small: a majority has
// the first record, but no majority is level with the new term.
func oldTermsDoNotCommit() error {
	p, conns, err := leader(
		consensus.VoteResponse{Term: 2, Flush: at(2), History: second},
		consensus.VoteResponse{Term: 1, Flush: at(1), History: first})
	if err != nil {
		return err
	}
	err = errors.Join(ack(p, 0, conns[0], at(2)), ack(p, 1, conns[1], at(1)))
	if err == nil && p.CommitLSN() != 0 {
		err = fmt.Errorf("%s is committed", p.CommitLSN())
	}
	if err = errors.Join(err, ack(p, 1, conns[1], at(2))); err == nil && p.CommitLSN() != at(2) {
		err = fmt.Errorf("a level majority commits %s, want %s", p.CommitLSN(), at(2))
	}
	return err
}

func commitStays() error {
	same := consensus.VoteResponse{Term: 1, Flush: base, History: first}
	p, conns, err := leader(same, same, same)
	if err != nil {
		return err
	}
	p.Offer(at(3))
	if err := errors.Join(ack(p, 0, conns[0], at(3)), ack(p, 1, conns[1], at(3))); err != nil {
		return err
	}
	if err := ack(p, 1, conns[1], at(1)); !errors.Is(err, consensus.ErrProtocol) {
		return fmt.Errorf("a promise taken back is believed: %v", err)
	}
	if err := ack(p, 2, conns[2], at(2)); err != nil {
		return err
	}
	if p.CommitLSN() != at(3) {
		return fmt.Errorf("commit LSN %s after %s", p.CommitLSN(), at(3))
	}
	return nil
}

func commitCapped() error {
	a, s := acceptor(1, nil, base)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	if _, err := appendTo(a, s, 1, 0, 2, at(2)); err != nil {
		return err
	}
	if a.CommitLSN() > a.FlushLSN() {
		return fmt.Errorf("commit LSN %s above flush LSN %s", a.CommitLSN(), a.FlushLSN())
	}
	flush(a)
	if a.CommitLSN() != at(2) {
		return fmt.Errorf("after the flush the commit LSN is %s, want %s", a.CommitLSN(), at(2))
	}
	return nil
}

func staleFlush() error {
	a, s := acceptor(1, nil, base)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	if _, err := appendTo(a, s, 1, 0, 2, 0); err != nil {
		return err
	}
	mark, _ := a.Unflushed()
	if err := elect(a, greeted(a), 1, base, first); err != nil {
		return err
	}
	a.Flushed(mark)
	if a.FlushLSN() != base {
		return fmt.Errorf("flush LSN %s of WAL that was cut off at %s", a.FlushLSN(), base)
	}
	return nil
}

func foreignRefused() error {
	a, _ := acceptor(1, first, base)
	other := three()
	other.Members = other.Members[1:]
	higher := other
	higher.Generation = 2
	for name, m := range map[string]consensus.ProposerGreeting{
		"system":        {Config: three(), Server: consensus.Server{PGVersion: 150000, SystemID: 8, SegmentSize: 1 << 20}},
		"major":         {Config: three(), Server: consensus.Server{PGVersion: 160000, SystemID: 7, SegmentSize: 1 << 20}},
		"segment size":  {Config: three(), Server: consensus.Server{PGVersion: 150000, SystemID: 7, SegmentSize: 1 << 24}},
		"timeline":      {TTID: core.TTID{Timeline: core.TimelineID{1}}, Config: three(), Server: server},
		"configuration": {Config: other, Server: server},
		"not a member":  {Config: higher, Server: server},
	} {
		if _, _, err := a.Greet(new(consensus.Session), m); !errors.Is(err, consensus.ErrForeign) {
			return fmt.Errorf("a proposer of another %s: %v", name, err)
		}
	}
	return nil
}

func lostRefused() error {
	c := consensus.Control{Config: three(), Server: server, Term: 1, History: first, TimelineStart: base, Commit: at(2)}
	if _, err := consensus.NewAcceptor(1, core.TTID{}, c, at(1)); err == nil {
		return errors.New("an acceptor starts without committed WAL")
	}
	return nil
}
