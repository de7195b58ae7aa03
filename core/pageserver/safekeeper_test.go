package pageserver_test

import (
	"context"
	"fmt"
	"testing"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/realio"
)

// A safekeeperAt is a running safekeeper and a proposer's stream to it.
type safekeeperAt struct {
	t    *testing.T
	env  *realio.Env
	addr string
	c    *wire.Client
}

// startSafekeepers runs n safekeepers that have the imported WAL.
func startSafekeepers(t *testing.T, w *world, n int) []*safekeeperAt {
	t.Helper()
	conf := consensus.Configuration{Generation: 1}
	for i := range n {
		conf.Members = append(conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: fmt.Sprintf("sk%d", i+1), Port: 1})
	}
	pg := consensus.Server{PGVersion: 150018, SystemID: testSystem, SegmentSize: core.DefaultSegmentSize}
	var all []*safekeeperAt
	for i := range n {
		s := &safekeeperAt{t: t, env: at(t, t.TempDir(), nil)}
		node, err := safekeeper.Open(s.env.Context(), s.env, safekeeper.Config{NodeID: core.NodeID(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.env.Net().Listen(s.env.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addr = l.Addr().String()
		s.env.Go("safekeeper", func(ctx context.Context) { node.Serve(ctx, l) })
		body := safekeeper.NewCreation(testTimeline, conf, pg, w.im.Index.LSN, w.im.WAL)
		if err := http1.Call(s.env.Context(), s.env, s.addr, "POST", "/v1/tenant/timeline", body, nil); err != nil {
			t.Fatal(err)
		}
		s.elect(conf, pg)
		all = append(all, s)
	}
	return all
}

// elect makes this end the proposer of term 1.
func (s *safekeeperAt) elect(conf consensus.Configuration, pg consensus.Server) {
	s.t.Helper()
	var err error
	if s.c, err = wire.Connect(s.env.Context(), s.env, s.addr, wire.ClientConfig{TTID: testTimeline}); err == nil {
		err = s.c.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(wire.AppendProposerGreeting(nil, &consensus.ProposerGreeting{TTID: testTimeline, Config: conf, Server: pg}), nil)
	s.receive()
	s.send(wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: 1}), nil)
	v := s.receive().Vote
	if v == nil || !v.Granted {
		s.t.Fatalf("no vote: %+v", v)
	}
	s.send(wire.AppendProposerElected(nil, &consensus.ProposerElected{Generation: 1, Term: 1, Start: v.Flush,
		History: v.History.With(consensus.TermSwitch{Term: 1, LSN: v.Flush})}), nil)
}

func (s *safekeeperAt) send(head, wal []byte) {
	s.t.Helper()
	s.c.CopyData(head, wal)
	if err := s.c.Flush(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *safekeeperAt) receive() (m wire.AcceptorMessage) {
	s.t.Helper()
	body, err := s.c.ReadCopy()
	if err == nil {
		err = wire.DecodeAcceptor(body, &m)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// push makes WAL [from, to) of the script durable and then committed.
func (s *safekeeperAt) push(sc *script, from, to core.LSN) {
	s.t.Helper()
	for from < to {
		end := min(from+16*core.WALPageSize, to)
		for _, commit := range []core.LSN{0, end} {
			m := consensus.AppendRequest{Generation: 1, Term: 1, Begin: from, End: end, Commit: commit}
			b := sc.wal[from-sc.begin : end-sc.begin]
			if commit != 0 {
				m.Begin, b = end, nil
			}
			s.send(wire.AppendAppendRequest(nil, &m), b)
			for r := s.receive(); r.Append.Flush < end; r = s.receive() {
			}
		}
		from = end
	}
}

// status asks a safekeeper what its pageserver reported.
func (s *safekeeperAt) status() (st safekeeper.TimelineStatus, err error) {
	path := "/v1/tenant/" + testTimeline.Tenant.String() + "/timeline/" + testTimeline.Timeline.String()
	err = http1.Call(s.env.Context(), s.env, s.addr, "GET", path, nil, &st)
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
		k.push(s, s.begin, half)
	}
	p.reaches(half)
	source := p.info().Receiver.Source
	for _, k := range keepers {
		if k.addr != source {
			continue
		}
		p.eventually("the pageserver's feedback", func() error {
			st, err := k.status()
			if err == nil && st.RemoteConsistent != w.im.Index.LSN {
				err = fmt.Errorf("remote consistent LSN %s, want %s", st.RemoteConsistent, w.im.Index.LSN)
			}
			return err
		})
		k.env.Close()
	}
	for _, k := range keepers {
		if k.addr != source {
			k.push(s, half, s.last())
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
