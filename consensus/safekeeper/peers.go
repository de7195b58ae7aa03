package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// There is no broker: the safekeepers of a timeline ask each other where they
// are. So all of them come to know what is committed, also those that no
// proposer talks to, and one that has fallen behind finds whom to copy from.
const (
	// peersEvery is how often the others are asked while anything changes, here
	// or there; while nothing does, the pauses double up to peersIdle.
	peersEvery = time.Second
	peersIdle  = time.Minute
	// peerPatience bounds one question.
	peerPatience = 5 * time.Second
)

// peering is what a timeline remembers of asking its peers. It belongs to the
// task that asks.
type peering struct {
	due    env.Instant
	pause  time.Duration
	own    ownState               // as of the last round
	heard  []consensus.PeerReport // of the last round; others look at it under leaf
	asking bool                   // guarded by leaf
	why    string
}

// ownState is what makes asking worthwhile again when it changes.
type ownState struct {
	at        Position
	receivers int
}

func (t *Timeline) ownState() ownState {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	return ownState{t.status.at, t.status.receivers}
}

// askPeers asks for every timeline when that is due, until ctx ends.
func (n *Node) askPeers(ctx context.Context) error {
	g := xsync.NewGroup(ctx, n.e)
	defer func() { n.lines.closeIdle(n.e.Clock().Mono() + 1) }()
	for {
		if err := n.e.Clock().Sleep(g.Context(), peersEvery); err != nil {
			g.Cancel(err)
			return g.Wait()
		}
		now := n.e.Clock().Mono()
		n.lines.closeIdle(now - env.Instant(2*peersIdle))
		for _, t := range n.all() {
			if t.shouldAsk(now) {
				g.Go("asking peers", func(ctx context.Context) error {
					t.askRound(ctx)
					return nil
				})
			}
		}
	}
}

// shouldAsk takes the next round, if it is due.
func (t *Timeline) shouldAsk(now env.Instant) bool {
	if t.pos.Get().Failed || len(t.control().Config.Union()) < 2 {
		return false
	}
	own := t.ownState()
	t.leaf.Lock()
	defer t.leaf.Unlock()
	p := &t.peers
	if p.asking || now < p.due && own == p.own {
		return false
	}
	p.asking = true
	return true
}

// askRound asks every peer once, takes over what may be taken over, and copies
// what is missing if no proposer is there to send it.
func (t *Timeline) askRound(ctx context.Context) {
	e, p := t.node.e, &t.peers
	treated := t.treated()
	reports := t.ask(ctx)
	copied, err := t.learn(ctx, reports)
	if treated != 0 {
		err = errors.Join(err, t.heal(treated, reports))
	}
	if xsync.Cause(ctx) != nil {
		return
	}
	own := t.ownState()
	if copied || own != p.own || changed(p.heard, reports) || treated != 0 {
		p.pause = peersEvery
	} else {
		p.pause = min(2*p.pause, peersIdle)
	}
	why := ""
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != p.why {
		e.Log().Info("copying WAL from a peer", "timeline", t.id.String(), "error", err)
	}
	p.why = why
	due := e.Clock().Mono().Add(p.pause)
	t.leaf.Lock()
	defer t.leaf.Unlock()
	p.own, p.due, p.heard, p.asking = own, due, reports, false
}

// changed tells whether what peers say differs from what they said before.
func changed(before, now []consensus.PeerReport) bool {
	if len(before) != len(now) {
		return true
	}
	for i, r := range now {
		b := before[i]
		if r.Node != b.Node || r.Term != b.Term || r.LastTerm != b.LastTerm || r.Flush != b.Flush || r.Commit != b.Commit ||
			r.RemoteConsistent != b.RemoteConsistent || r.Backup != b.Backup || r.Config.Generation != b.Config.Generation {
			return true
		}
	}
	return false
}

// ask asks all peers at once; those that do not answer are left out.
func (t *Timeline) ask(ctx context.Context) (reports []consensus.PeerReport) {
	members := t.control().Config.Union()
	answers := make([]*consensus.PeerReport, len(members))
	g := xsync.NewGroup(ctx, t.node.e)
	for i, m := range members {
		if m.ID == t.node.cfg.NodeID {
			continue
		}
		g.Go("asking a peer", func(ctx context.Context) error {
			if r, err := t.node.askPeer(ctx, m, t.id); err == nil {
				answers[i] = &r
			}
			return nil
		})
	}
	g.Wait()
	for _, r := range answers {
		if r != nil {
			reports = append(reports, *r)
		}
	}
	return reports
}

// askHistory asks one peer for its status, with the history of its terms.
func (t *Timeline) askHistory(ctx context.Context, m consensus.Member) (*TimelineStatus, error) {
	ctx, cancel := xsync.WithTimeout(ctx, t.node.e, peerPatience)
	defer cancel()
	path := "/v1/tenant/" + t.id.Tenant.String() + "/timeline/" + t.id.Timeline.String()
	var s TimelineStatus
	if err := http1.Call(ctx, t.node.e, m.Addr(), "GET", RouteTo(m.ID, path), nil, &s); err != nil {
		return nil, err
	}
	if s.Failed != "" || s.Tenant != t.id.Tenant || s.Timeline != t.id.Timeline {
		return nil, fmt.Errorf("safekeeper %d does not have timeline %s in service", m.ID, t.id)
	}
	return &s, nil
}

// report is a status as the acceptor takes it.
func (s *TimelineStatus) report(from core.NodeID) consensus.PeerReport {
	return consensus.PeerReport{
		Node: from, Config: s.Config.decode(), Term: s.Acceptor.Term, LastTerm: s.Acceptor.Epoch,
		Flush: s.Flush, Commit: s.Commit, Horizon: s.Horizon, RemoteConsistent: s.RemoteConsistent,
		Backup: s.Backup, LocalStart: s.LocalStart, Stuck: s.OffloadError != "",
		Wounded: s.Wounded != "",
	}
}

// learn takes over what the peers know, and copies what is missing if no proposer
// is connected: from the one that is most advanced, and if that cannot give, which
// it may not know of, from the next.
func (t *Timeline) learn(ctx context.Context, reports []consensus.PeerReport) (copied bool, err error) {
	var donors []consensus.PeerReport
	news := false
	err = t.step(func(a *consensus.Acceptor) error {
		before := a.CommitLSN()
		for _, r := range reports {
			if c := a.Learn(r); c != nil {
				if err := t.persist(c); err != nil {
					return t.fail(err)
				}
			}
		}
		donors = a.Donors(reports)
		if news = a.CommitLSN() > before; news {
			t.node.e.Trace().Note("safekeeper.learned", t.id.Timeline.Tag(), uint64(a.Term()), uint64(a.FlushLSN()), uint64(a.CommitLSN()))
		}
		return nil
	})
	if err != nil || len(donors) == 0 || t.attended() {
		return news, err
	}
	return true, t.copyFromAny(ctx, donors)
}

// copyFromAny copies from the first of donors that can give.
func (t *Timeline) copyFromAny(ctx context.Context, donors []consensus.PeerReport) error {
	var errs []error
	for _, r := range donors {
		err := t.copyFrom(ctx, r)
		if err == nil || ctx.Err() != nil || t.pos.Get().Failed || t.attended() {
			return err
		}
		errs = append(errs, fmt.Errorf("from safekeeper %d: %w", r.Node, err))
	}
	return errors.Join(errs...)
}
