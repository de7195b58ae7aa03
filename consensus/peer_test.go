package consensus_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"xenon/consensus"
	"xenon/core"
)

// reportOf is what a safekeeper in a term tells whose log has the history h and
// ends after n records.
func reportOf(a *consensus.Acceptor) consensus.PeerReport {
	return consensus.PeerReport{
		Node: 2, Config: three(), Term: a.Term(), LastTerm: a.History().LastTerm(), Flush: a.FlushLSN(), Commit: a.CommitLSN(),
	}
}

// learnsFromEquals: a peer has committed two records of term 5; the same LSN is
// the end of other records in a log of term 4, and of the same in one of term 5
// that has but one of them.
func learnsFromEquals() error {
	four := consensus.History{{Term: 4, LSN: base}}
	five := four.With(consensus.TermSwitch{Term: 5, LSN: base})
	peer := consensus.PeerReport{Node: 2, Config: three(), Term: 5, LastTerm: 5, Flush: at(2), Commit: at(2)}
	other, _ := acceptor(4, four, at(3))
	if other.Learn(peer); other.CommitLSN() > base {
		return fmt.Errorf("a log of term 4 is committed up to %s because one of term 5 is", other.CommitLSN())
	}
	same, s := acceptor(5, five, at(1))
	if same.Learn(peer); same.CommitLSN() != at(1) {
		return fmt.Errorf("a log of term 5 is committed up to %s, want %s: as far as it goes", same.CommitLSN(), at(1))
	}
	// The rest counts as it comes.
	err := elect(same, s, 5, at(1), five)
	if err == nil {
		_, err = appendTo(same, s, 5, 1, 2, 0)
	}
	if flush(same); err == nil && same.CommitLSN() != at(2) {
		err = fmt.Errorf("once the second record is there the log is committed up to %s", same.CommitLSN())
	}
	return err
}

// copiesOwnTerm: a peer that has voted in term 7 has a log of term 5. Whoever
// copied it in the name of term 7 would go on with what the leader of 7 writes
// there later, behind a beginning that is not its log's.
func copiesOwnTerm() error {
	four := consensus.History{{Term: 4, LSN: base}}
	five := four.With(consensus.TermSwitch{Term: 5, LSN: at(1)})
	own, s := acceptor(4, four, at(1))
	led, _ := acceptor(5, five, at(3))
	if r := own.Donors([]consensus.PeerReport{reportOf(led)}); len(r) != 1 || r[0].Flush != at(3) {
		return errors.New("a log ahead, in its own term, is not copied")
	}
	voted, _ := acceptor(7, five, at(3))
	var errs error
	if r := own.Donors([]consensus.PeerReport{reportOf(voted)}); len(r) > 0 {
		errs = errors.New("a log of term 5 is copied in the name of term 7")
	}
	if elect(own, s, 7, at(1), five) == nil {
		errs = errors.Join(errs, errors.New("a log becomes that of term 7 by a history that ends with 5"))
	}
	ahead, _ := acceptor(6, four, at(1))
	if r := ahead.Donors([]consensus.PeerReport{reportOf(led)}); len(r) > 0 {
		errs = errors.Join(errs, errors.New("a log of term 5 is copied after a promise to term 6"))
	}
	older, _ := acceptor(5, consensus.History{{Term: 5, LSN: base}}, at(1))
	longer, _ := acceptor(4, four, at(9))
	if r := older.Donors([]consensus.PeerReport{reportOf(longer)}); len(r) > 0 {
		errs = errors.Join(errs, errors.New("a longer log of an older term is copied"))
	}
	return errs
}

// syncedOnceKnown: a proposer that makes a log level ends when a majority has
// said that it knows what is committed, not when it knows so itself.
func syncedOnceKnown() error {
	v := consensus.VoteResponse{Term: 1, Flush: at(2), History: first}
	p, conns, err := leaderOf(consensus.ProposerConfig{Config: three(), Server: server, Sync: true}, v, v)
	if err != nil {
		return err
	}
	say := func(i int, commit int) error {
		r := consensus.AppendResponse{Generation: 1, Term: p.Term(), Flush: at(2), Commit: at(commit)}
		return p.Response(i, conns[i], &r, 0)
	}
	for step, commit := range []int{0, 2} {
		for i := range conns {
			if p.Ended() != nil {
				return fmt.Errorf("ended at step %d, before safekeeper %d has said that it knows", step, i+1)
			}
			if err := say(i, commit); err != nil {
				return err
			}
		}
	}
	if end := p.Ended(); end == nil || end.Kind != consensus.Synced {
		return fmt.Errorf("all know, and it ended with %v", end)
	}
	return nil
}

// TestDonorsInOrder: the most advanced log comes first, one of a later term before
// a longer one, and of equals the one that was named first.
func TestDonorsInOrder(t *testing.T) {
	history := consensus.History{{Term: 4, LSN: base}}
	newer := history.With(consensus.TermSwitch{Term: 5, LSN: at(1)})
	own, _ := acceptor(4, history, at(1))
	report := func(node core.NodeID, a *consensus.Acceptor) consensus.PeerReport {
		r := reportOf(a)
		r.Node = node
		return r
	}
	long, _ := acceptor(4, history, at(9))
	short, _ := acceptor(4, history, at(2))
	later, _ := acceptor(5, newer, at(2))
	var got []core.NodeID
	for _, r := range own.Donors([]consensus.PeerReport{report(2, short), report(3, long), report(4, later), report(5, long)}) {
		got = append(got, r.Node)
	}
	if want := []core.NodeID{4, 3, 5, 2}; !slices.Equal(got, want) {
		t.Errorf("donors %v, want %v", got, want)
	}
}
