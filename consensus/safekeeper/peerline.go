package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wire"
	"xenon/core/xsync"
)

// A safekeeper keeps one connection to each other one that it shares timelines
// with, and asks for all of them over it: it does so every second, and a
// connection and a text for each answer would cost many times the answer.

// peerLines are the connections to the peers.
type peerLines struct {
	leaf sync.Mutex
	list []*peerLine
}

// A peerLine is the connection to one peer, once there is one.
type peerLine struct {
	to consensus.Member

	mu     xsync.Mutex // one question at a time; guards what follows
	client *wire.Client
	used   env.Instant
	out    []byte
}

// to is the line to a peer.
func (p *peerLines) to(e env.Env, m consensus.Member) *peerLine {
	now := e.Clock().Mono()
	p.leaf.Lock()
	defer p.leaf.Unlock()
	if i := slices.IndexFunc(p.list, func(l *peerLine) bool { return l.to == m }); i >= 0 {
		return p.list[i]
	}
	l := &peerLine{to: m, used: now}
	l.mu.Init(e)
	p.list = append(p.list, l)
	return l
}

// closeIdle closes the lines that nobody has used since an instant: to who is
// no peer any more, or to where it was.
func (p *peerLines) closeIdle(since env.Instant) {
	p.leaf.Lock()
	lines := slices.Clone(p.list)
	p.leaf.Unlock()
	for _, l := range lines {
		if l.mu.TryLock() {
			if l.used < since {
				l.close()
			}
			l.mu.Unlock()
		}
	}
}

func (l *peerLine) close() {
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}

// askPeer asks a peer where it is with a timeline.
func (n *Node) askPeer(ctx context.Context, m consensus.Member, id core.TTID) (r consensus.PeerReport, err error) {
	ctx, cancel := xsync.WithTimeout(ctx, n.e, peerPatience)
	defer cancel()
	l := n.lines.to(n.e, m)
	if err := l.mu.LockCtx(ctx); err != nil {
		return r, err
	}
	defer l.mu.Unlock()
	kept := l.client != nil
	r, known, err := l.ask(ctx, n, id)
	if err != nil && kept && ctx.Err() == nil {
		r, known, err = l.ask(ctx, n, id) // it may have been started anew since
	}
	if err == nil && !known {
		err = fmt.Errorf("safekeeper %d does not have timeline %s in service", m.ID, id)
	}
	return r, err
}

// ask asks one question. A line that fails is closed.
func (l *peerLine) ask(ctx context.Context, n *Node, id core.TTID) (r consensus.PeerReport, known bool, err error) {
	l.used = n.e.Clock().Mono()
	if l.client == nil {
		if l.client, err = n.openLine(ctx, l.to); err != nil {
			return r, false, err
		}
	}
	stop := wire.CloseOn(ctx, l.client)
	r, known, err = l.exchange(id)
	stop()
	if err != nil {
		l.close()
	}
	return r, known, err
}

func (n *Node) openLine(ctx context.Context, m consensus.Member) (*wire.Client, error) {
	client, err := wire.Connect(ctx, n.e, m.Addr(), wire.ClientConfig{ApplicationName: fmt.Sprintf("safekeeper_%d", n.cfg.NodeID)})
	if err != nil {
		return nil, err
	}
	stop := wire.CloseOn(ctx, client)
	defer stop()
	if err := client.CopyBoth(fmt.Sprintf("%s %d", wire.CmdPeerReports, m.ID)); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func (l *peerLine) exchange(id core.TTID) (r consensus.PeerReport, known bool, err error) {
	l.out = wire.AppendPeerQuestion(l.out[:0], id)
	l.client.CopyData(l.out, nil)
	if err := l.client.Flush(); err != nil {
		return r, false, err
	}
	body, err := l.client.ReadCopy()
	if err != nil {
		return r, false, err
	}
	of, r, known, err := wire.DecodePeerReport(body)
	if err == nil && of != id {
		err = fmt.Errorf("safekeeper %d was asked for timeline %s and answers for %s", l.to.ID, id, of)
	}
	r.Node = l.to.ID
	return r, known, err
}

// peerReports answers a peer's questions until it leaves. One that was led here
// by a name that is another safekeeper's is sent away, see [RouteTo].
func (n *Node) peerReports(s *wire.Session, cmd wire.Command) error {
	if cmd.Node != n.cfg.NodeID && !(faults.On && faults.Hit(faults.AnyAddressee)) {
		return wire.Errorf(wire.CodeNotReady, "this is safekeeper %d, the question is for safekeeper %d", n.cfg.NodeID, cmd.Node)
	}
	if err := s.CopyBoth(); err != nil {
		return err
	}
	var out []byte
	for {
		body, err := s.ReadCopy()
		if errors.Is(err, io.EOF) {
			return s.EndCopy()
		}
		if err != nil {
			return err
		}
		id, err := wire.DecodePeerQuestion(body)
		if err != nil {
			return err
		}
		out = wire.AppendPeerReport(out[:0], id, n.report(id))
		s.CopyData(out, nil)
		if err := s.Flush(); err != nil {
			return &wire.ConnError{Err: err}
		}
	}
}

// report is where this safekeeper is with a timeline, nil if it is not in
// service here.
func (n *Node) report(id core.TTID) *consensus.PeerReport {
	n.mu.Lock()
	t, deleted := n.timelines[id], n.roster.deleted(id)
	n.mu.Unlock()
	if t == nil || deleted {
		return nil
	}
	t.leaf.Lock()
	defer t.leaf.Unlock()
	at, c := t.status.at, &t.status.control
	if t.status.failed != nil {
		return nil
	}
	return &consensus.PeerReport{
		Node: n.cfg.NodeID, Config: c.Config, Term: c.Term, LastTerm: t.status.history.LastTerm(),
		Flush: at.Flush, Commit: at.Commit, Horizon: c.Horizon, RemoteConsistent: c.RemoteConsistent,
		Backup: c.Backup, LocalStart: c.LocalStart, Stuck: t.store.why != "", Wounded: c.Lost != 0,
	}
}
