package proposer_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/realio"
)

// A player is a safekeeper that plays a part: an acceptor whose log ends
// further on in the second generation, because somebody else wrote meanwhile.
type player struct {
	id   core.NodeID
	conf *[2]consensus.Configuration
	// late tells of the second generation once the others have elected.
	late    bool
	elected chan struct{} // closed then
}

func (p *player) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer wire.CloseOn(ctx, c)()
	s, err := wire.Accept(c, 0)
	if err == nil {
		s.Serve(ctx, func(_ context.Context, s *wire.Session, _ string) error { return p.play(s) })
	}
}

func (p *player) play(s *wire.Session) error {
	if err := s.CopyBoth(); err != nil {
		return err
	}
	var in wire.ProposerMessage
	var gen core.Generation
	flush := core.LSN(0)
	for {
		body, err := s.ReadCopy()
		if err == nil {
			err = wire.DecodeProposer(body, &in)
		}
		if err != nil {
			return &wire.ConnError{Err: err}
		}
		var out []byte
		switch {
		case in.Greeting != nil:
			gen = in.Greeting.Config.Generation
			flush = startAt + 0x1000*core.LSN(gen)
			told := gen
			if p.late && gen == 1 {
				<-p.elected
				told = 2
			}
			out = wire.AppendAcceptorGreeting(nil, &consensus.AcceptorGreeting{Node: p.id, Config: p.conf[told-1], Term: core.Term(gen)})
		case in.Vote != nil:
			out = wire.AppendVoteResponse(nil, &consensus.VoteResponse{Generation: gen, Term: in.Vote.Term, Granted: true, Flush: flush})
		case in.Elected != nil:
			if p.id == 1 && gen == 1 {
				close(p.elected)
			}
			continue
		default:
			if gen == 1 {
				continue // says nothing, so that nothing is committed
			}
			flush = max(flush, in.Append.End)
			out = wire.AppendAppendResponse(nil, &consensus.AppendResponse{Generation: gen, Term: in.Append.Term, Flush: flush})
		}
		s.CopyData(out, nil)
		if err := s.Flush(); err != nil {
			return &wire.ConnError{Err: err}
		}
	}
}

// TestReconfiguredBeforeTheFirstCommit: a proposer that was elected and heard
// of another configuration before anything was committed campaigns anew, and
// its log begins where the second election says.
func TestReconfiguredBeforeTheFirstCommit(t *testing.T) {
	e := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	t.Cleanup(func() {
		e.Stop(errors.New("over"))
		e.Close()
	})
	var conf [2]consensus.Configuration
	elected := make(chan struct{})
	for i := range 3 {
		l, err := e.Net().Listen(e.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		p := &player{id: core.NodeID(i + 1), conf: &conf, late: i == 2, elected: elected}
		port := l.Addr().(*net.TCPAddr).Port
		conf[0].Members = append(conf[0].Members, consensus.Member{ID: p.id, Host: "127.0.0.1", Port: uint16(port)})
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go p.serve(e.Context(), c)
			}
		}()
	}
	conf[0].Generation = 1
	conf[1] = conf[0]
	conf[1].Generation = 2
	p, err := proposer.New(e, proposer.Config{TTID: ttid, Members: conf[0], Server: server})
	if err != nil {
		t.Fatal(err)
	}
	e.Go("proposer", func(ctx context.Context) { p.Run(ctx) })
	x, err := p.Elect(e.Context())
	if err != nil || x.Start != startAt+0x2000 {
		t.Fatalf("elected %+v, %v", x, err)
	}
	b, err := wal.NewEncoder(format, x.Start, 0).Append(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: make([]byte, 100)})
	if err == nil {
		err = p.Offer(x.Start, b)
	}
	if err == nil {
		err = p.AwaitCommit(e.Context(), x.Start+core.LSN(len(b)))
	}
	if err != nil {
		t.Error(err)
	}
}
