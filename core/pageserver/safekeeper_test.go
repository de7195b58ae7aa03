package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire"
	"xenon/core/wire/http1"
)

// A safekeeperAt is a safekeeper and a proposer's stream to it.
type safekeeperAt struct {
	env  env.Env
	addr string
	c    *wire.Client
	stop func() // ends the safekeeper
}

// members is a configuration of n safekeepers.
func members(n int) consensus.Configuration {
	conf := consensus.Configuration{Generation: 1}
	for i := range n {
		conf.Members = append(conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: fmt.Sprintf("sk%d", i+1), Port: 1})
	}
	return conf
}

var testServer = consensus.Server{PGVersion: 150018, SystemID: testSystem, SegmentSize: core.DefaultSegmentSize}

// startSafekeepers runs n safekeepers that have the imported WAL.
func startSafekeepers(t *testing.T, w *world, n int) []*safekeeperAt {
	t.Helper()
	var all []*safekeeperAt
	for i := range n {
		e := at(t, t.TempDir(), nil)
		node, err := safekeeper.Open(e.Context(), e, safekeeper.Config{NodeID: core.NodeID(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := e.Net().Listen(e.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &safekeeperAt{env: e, addr: l.Addr().String(), stop: func() { e.Close() }}
		e.Go("safekeeper", func(ctx context.Context) { node.Serve(ctx, l) })
		if err := errors.Join(s.create(e.Context(), w.im, n), s.elect(e.Context(), members(n), testServer, 1)); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// elect makes this end the proposer of a term.
func (s *safekeeperAt) elect(ctx context.Context, conf consensus.Configuration, pg consensus.Server, term core.Term) error {
	var err error
	if s.c, err = wire.Connect(ctx, s.env, s.addr, wire.ClientConfig{TTID: testTimeline}); err != nil {
		return err
	}
	if err := s.c.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')"); err != nil {
		return err
	}
	if _, err := s.call(wire.AppendProposerGreeting(nil, &consensus.ProposerGreeting{TTID: testTimeline, Config: conf, Server: pg}), nil); err != nil {
		return err
	}
	m, err := s.call(wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: term}), nil)
	if err != nil || m.Vote == nil || !m.Vote.Granted {
		return fmt.Errorf("no vote: %+v, %w", m.Vote, err)
	}
	v := m.Vote
	s.c.CopyData(wire.AppendProposerElected(nil, &consensus.ProposerElected{Generation: 1, Term: term, Start: v.Flush,
		History: v.History.With(consensus.TermSwitch{Term: term, LSN: v.Flush})}), nil)
	return s.c.Flush()
}

// call sends one message and returns the next that comes.
func (s *safekeeperAt) call(head, wal []byte) (m wire.AcceptorMessage, err error) {
	s.c.CopyData(head, wal)
	if err := s.c.Flush(); err != nil {
		return m, err
	}
	body, err := s.c.ReadCopy()
	if err == nil {
		err = wire.DecodeAcceptor(body, &m)
	}
	return m, err
}

// push makes WAL [from, to) of the script durable and then committed.
func (s *safekeeperAt) push(sc *script, from, to core.LSN) error {
	for from < to {
		end := min(from+16*core.WALPageSize, to)
		m := consensus.AppendRequest{Generation: 1, Term: 1, Begin: from, End: end}
		r, err := s.call(wire.AppendAppendRequest(nil, &m), sc.wal[from-sc.begin:end-sc.begin])
		for err == nil && r.Append.Flush < end {
			m.Begin = end
			r, err = s.call(wire.AppendAppendRequest(nil, &m), nil)
		}
		if err != nil {
			return err
		}
		m.Begin, m.Commit = end, end
		if _, err := s.call(wire.AppendAppendRequest(nil, &m), nil); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// create makes the timeline on a safekeeper, one of n.
func (s *safekeeperAt) create(ctx context.Context, im *pageserver.Imported, n int) error {
	body := safekeeper.NewCreation(testTimeline, members(n), testServer, im.Index.LSN, im.WAL)
	return http1.Call(ctx, s.env, s.addr, "POST", "/v1/tenant/timeline", body, nil)
}

// status asks a safekeeper what its pageserver reported.
func (s *safekeeperAt) status(ctx context.Context) (st safekeeper.TimelineStatus, err error) {
	path := "/v1/tenant/" + testTimeline.Tenant.String() + "/timeline/" + testTimeline.Timeline.String()
	err = http1.Call(ctx, s.env, s.addr, "GET", path, nil, &st)
	return st, err
}

// TestWithSafekeepers: what is committed on safekeepers is served, from
// whichever of them lives, also by a pageserver that begins anew.
func TestWithSafekeepers(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 400)
	keepers := startSafekeepers(t, w, 3)
	p := w.run(t, t.TempDir())
	req := pageserverAttach(keepers)
	if err := p.call("POST", "/v1/tenant/"+testTimeline.Tenant.String()+"/timeline", req, nil); err != nil {
		t.Fatal(err)
	}
	half := s.lsns[len(s.lsns)/2]
	for _, k := range keepers {
		if err := k.push(s, s.begin, half); err != nil {
			t.Fatal(err)
		}
	}
	p.reaches(half)
	source := p.info().Receiver.Source
	for _, k := range keepers {
		if k.addr != source {
			continue
		}
		p.eventually("the pageserver's feedback", func() error {
			st, err := k.status(p.env.Context())
			if err == nil && st.RemoteConsistent != w.im.Index.LSN {
				err = fmt.Errorf("remote consistent LSN %s, want %s", st.RemoteConsistent, w.im.Index.LSN)
			}
			return err
		})
		k.stop()
	}
	for _, k := range keepers {
		if k.addr != source {
			if err := k.push(s, half, s.last()); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.reaches(s.last())
	p.checkAll(s)

	fresh := w.run(t, t.TempDir())
	if err := fresh.call("POST", "/v1/tenant/"+testTimeline.Tenant.String()+"/timeline", req, nil); err != nil {
		t.Fatal(err)
	}
	fresh.reaches(s.last())
	fresh.checkAll(s)
}
