package consensus_test

import (
	"errors"
	"fmt"
	"testing"

	"xenon/consensus"
	"xenon/core"
)

// elected is an acceptor of term 4 with WAL up to 100, 60 of it committed, that
// was just told of a proposer of term 5 whose log parts from its own at 80.
func elected(t *testing.T) (*consensus.Acceptor, *consensus.Session) {
	t.Helper()
	conf := consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1}, {ID: 2}, {ID: 3}}}
	server := consensus.Server{PGVersion: 150000, SegmentSize: 1 << 20}
	a, err := consensus.NewAcceptor(1, core.TTID{}, consensus.Control{
		Config: conf, Server: server, Term: 4, History: consensus.History{{Term: 3, LSN: 8}, {Term: 4, LSN: 80}},
		TimelineStart: 8, LocalStart: 8, Commit: 60, Horizon: 50,
	}, 100)
	if err != nil {
		t.Fatal(err)
	}
	s := new(consensus.Session)
	if _, _, err := a.Greet(s, consensus.ProposerGreeting{Config: conf, Server: server}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Elect(s, consensus.ProposerElected{Generation: 1, Term: 4, Start: 100, History: consensus.History{{Term: 3, LSN: 8}, {Term: 4, LSN: 80}}}); err != nil {
		t.Fatal(err)
	}
	a.Truncated() // else it may be that a tail is left of before a restart
	out, err := a.Elect(s, consensus.ProposerElected{Generation: 1, Term: 5, Start: 80, History: consensus.History{{Term: 3, LSN: 8}, {Term: 5, LSN: 80}}})
	if err != nil || !out.Truncate || out.Start != 80 {
		t.Fatalf("%+v, %v", out, err)
	}
	return a, s
}

func wal(at core.LSN, truncate core.LSN) consensus.AppendRequest {
	return consensus.AppendRequest{Generation: 1, Term: 5, Begin: at, End: at + 8, Commit: 60, Truncate: truncate, WAL: make([]byte, 8)}
}

// TestNothingIsDoneWhileATailIsThere: between the decision to cut a tail off and
// its end, which a disk may keep from coming, the log is nobody's.
func TestNothingIsDoneWhileATailIsThere(t *testing.T) {
	a, s := elected(t)
	if _, err := a.Append(s, wal(80, 50), 88); err == nil {
		t.Error("WAL is taken while a tail is still to be cut off")
	}
	if err := a.MayRecover(5); err == nil {
		t.Error("others may copy a log whose tail is still to be cut off")
	}
	a.Truncated()
	if err := a.MayRecover(5); err != nil {
		t.Error(err)
	}
	if out, err := a.Append(s, wal(80, 50), 88); err != nil || !out.Write {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestWhatNobodyNeedsStaysSo: the horizon does not fall, whatever a proposer
// says that knows less; and a pageserver has stored nothing beyond what is
// committed.
func TestWhatNobodyNeedsStaysSo(t *testing.T) {
	a, s := elected(t)
	a.Truncated()
	for i, truncate := range []core.LSN{55, 40} {
		if _, err := a.Append(s, wal(80+8*core.LSN(i), truncate), 0); err != nil {
			t.Fatal(err)
		}
		if h := a.Control().Horizon; h != 55 {
			t.Errorf("after an append with truncate LSN %s the horizon is %s", truncate, h)
		}
	}
	if a.ReportRemote(90); a.RemoteConsistentLSN() > 60 {
		t.Errorf("stored up to %s, committed is 60", a.RemoteConsistentLSN())
	}
}

// TestTermsBeginOnce: a term begins at one LSN, whoever tells of it; logs that
// disagree have no common point.
func TestTermsBeginOnce(t *testing.T) {
	if err := termsBeginOnce(); err != nil {
		t.Error(err)
	}
}

func termsBeginOnce() error {
	one := consensus.History{{Term: 1, LSN: 8}, {Term: 2, LSN: 40}, {Term: 4, LSN: 80}}
	for i := range one {
		other := append(consensus.History{}, one...)
		other[i].LSN += 4
		if at, err := consensus.Diverge(one, other, 100); !errors.Is(err, consensus.ErrHistory) {
			return fmt.Errorf("%s and %s part at %s, %v", one, other, at, err)
		}
	}
	return nil
}
