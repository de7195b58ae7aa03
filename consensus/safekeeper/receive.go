package safekeeper

import (
	"context"
	"errors"
	"io"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wire"
)

// groupBytes is the most WAL that is written before it is flushed and
// answered, however much more has arrived.
const groupBytes = 4 << 20

const protoVersion = 3 // of the walproposer protocol

// A receiver is one START_WAL_PUSH connection.
type receiver struct {
	node *Node
	conn *wire.Session
	t    *Timeline
	sess consensus.Session

	owed     bool   // appends wait for an answer
	pending  int    // their bytes
	told     uint64 // version of the pageserver's feedback sent last
	out      []byte
	incoming wire.ProposerMessage
}

// receive serves a proposer until one side ends.
func (n *Node) receive(ctx context.Context, s *wire.Session, cmd wire.Command) error {
	if cmd.ProtoVersion != protoVersion {
		return wire.Errorf(wire.CodeUnsupported, "walproposer protocol version %d is not supported, only %d", cmd.ProtoVersion, protoVersion)
	}
	if err := s.CopyBoth(); err != nil {
		return err
	}
	r := &receiver{node: n, conn: s}
	err := r.run(ctx)
	if r.t != nil {
		r.t.leave()
		// What was written must not hang in the air once nobody is there to
		// ask for its flush, and the next start is to find it quickly.
		if _, ferr := r.t.flush(); ferr == nil {
			r.t.save(1)
		}
	}
	if errors.Is(err, io.EOF) {
		return s.EndCopy()
	}
	return err
}

func (r *receiver) run(ctx context.Context) error {
	for {
		if r.owed && (!r.conn.Buffered() || r.pending >= groupBytes) {
			if err := r.answer(); err != nil {
				return err
			}
		}
		body, err := r.conn.ReadCopy()
		if err != nil {
			return err
		}
		if err := wire.DecodeProposer(body, &r.incoming); err != nil {
			return err
		}
		if err := r.handle(ctx, &r.incoming); err != nil {
			return err
		}
	}
}

func (r *receiver) handle(ctx context.Context, m *wire.ProposerMessage) error {
	if m.Greeting != nil {
		return r.greet(ctx, m.Greeting)
	}
	if r.t == nil {
		return wire.Errorf(wire.CodeProtocol, "the first message of a proposer must be its greeting")
	}
	switch {
	case m.Vote != nil:
		resp, err := r.t.vote(&r.sess, *m.Vote)
		if err != nil {
			return err
		}
		r.out = wire.AppendVoteResponse(r.out[:0], &resp)
		return r.send()
	case m.Elected != nil:
		return r.t.elect(&r.sess, *m.Elected)
	}
	return r.append(ctx, &m.Append)
}

func (r *receiver) greet(ctx context.Context, m *consensus.ProposerGreeting) error {
	if r.t != nil {
		return wire.Errorf(wire.CodeProtocol, "a second greeting on one connection")
	}
	if named := r.conn.Option("timeline_id"); named != "" {
		if id, err := r.conn.TTID(); err != nil || id != m.TTID {
			return wire.Errorf(wire.CodeInvalid, "the connection's options name timeline %s, the greeting names %s", named, m.TTID)
		}
	}
	t, err := r.node.timeline(m.TTID)
	if err != nil && faults.On && faults.Hit(faults.PushCreates) {
		t, err = r.node.createBlank(r.node.ctx, m)
	}
	if err != nil {
		return err
	}
	resp, err := t.greet(&r.sess, *m)
	if err != nil {
		return err
	}
	r.t = t
	t.enter() // from here on it does not leave the disk
	if err := t.bring(ctx); err != nil {
		return err
	}
	r.out = wire.AppendAcceptorGreeting(r.out[:0], &resp)
	return r.send()
}

func (r *receiver) append(ctx context.Context, m *consensus.AppendRequest) error {
	refuse, err := r.t.append(ctx, &r.sess, m, r.answer)
	if err != nil {
		return err
	}
	if refuse {
		resp, err := r.t.refusal()
		if err != nil {
			return err
		}
		return r.respond(&resp)
	}
	r.owed = true
	r.pending += len(m.WAL)
	return nil
}

// answer flushes and answers all appends so far with one message.
func (r *receiver) answer() error {
	resp, err := r.t.flush()
	if err != nil {
		return err
	}
	r.owed, r.pending = false, 0
	r.t.addFeedback(&resp, &r.told)
	return r.respond(&resp)
}

func (r *receiver) respond(resp *consensus.AppendResponse) error {
	r.node.e.Trace().Note("safekeeper.ack", r.t.id.Timeline.Tag(), uint64(resp.Term), uint64(resp.Flush), uint64(resp.Commit))
	r.out = wire.AppendAppendResponse(r.out[:0], resp)
	return r.send()
}

func (r *receiver) send() error {
	r.conn.CopyData(r.out, nil)
	if err := r.conn.Flush(); err != nil {
		return &wire.ConnError{Err: err}
	}
	return nil
}

func (t *Timeline) enter() { t.countReceivers(1) }
func (t *Timeline) leave() { t.countReceivers(-1) }

func (t *Timeline) countReceivers(by int) {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	t.status.receivers += by
}

// feedback is what readers last reported, with a version that grows.
type feedback struct {
	version    uint64
	pageserver consensus.PageserverFeedback
	standby    consensus.StandbyFeedback // of all readers there are
}

// addFeedback puts into an answer what the proposer has not heard yet.
func (t *Timeline) addFeedback(resp *consensus.AppendResponse, told *uint64) {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	resp.Standby = t.feedback.standby
	if t.feedback.version != *told {
		*told = t.feedback.version
		resp.HasFeedback, resp.Feedback = true, t.feedback.pageserver
	}
}

// takeFeedback notes what a pageserver reported.
func (t *Timeline) takeFeedback(f consensus.PageserverFeedback) {
	t.leaf.Lock()
	t.feedback.version++
	t.feedback.pageserver = f
	t.leaf.Unlock()
	t.step(func(a *consensus.Acceptor) error {
		a.ReportRemote(f.RemoteConsistent)
		return nil
	})
}

// mayServe is the end of what a reader may have: committed WAL, or for a
// recovery all durable WAL while the log is that term's. Whoever copies the log
// names the last term of that besides.
func (t *Timeline) mayServe(term, last core.Term) (end core.LSN, err error) {
	if term == 0 {
		p := t.pos.Get()
		if p.Failed {
			return 0, t.unusable()
		}
		if faults.On && faults.Hit(faults.ServeUncommitted) {
			return p.Flush, nil
		}
		return p.Commit, nil
	}
	err = t.step(func(a *consensus.Acceptor) error {
		switch {
		case faults.On && faults.Hit(faults.RecoverAnyTerm):
		case last != 0:
			err = a.MayCopyLog(term, last)
		default:
			err = a.MayRecover(term)
		}
		if err != nil {
			return err
		}
		end = a.FlushLSN()
		return nil
	})
	return end, err
}
