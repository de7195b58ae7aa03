package wire_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/wire"
)

// Every decoder takes any bytes, and what it accepts it encodes again to the
// same bytes where the encoding has one form.

func FuzzProposer(f *testing.F) {
	f.Add(wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: 2}))
	f.Add(wire.AppendProposerElected(nil, &consensus.ProposerElected{Term: 1, History: consensus.History{{Term: 1, LSN: 8}}}))
	f.Add(wire.AppendProposerGreeting(nil, &consensus.ProposerGreeting{}))
	f.Add(append(wire.AppendAppendRequest(nil, &consensus.AppendRequest{Begin: 8, End: 10}), 1, 2))
	f.Add([]byte("e\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xFF\xFF\xFF\xFF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.ProposerMessage
		if wire.DecodeProposer(b, &m) != nil {
			return
		}
		var back []byte
		switch {
		case m.Greeting != nil:
			return // ids may be written in upper case
		case m.Vote != nil:
			back = wire.AppendVoteRequest(nil, *m.Vote)
		case m.Elected != nil:
			back = wire.AppendProposerElected(nil, m.Elected)
		default:
			back = append(wire.AppendAppendRequest(nil, &m.Append), m.Append.WAL...)
		}
		if !bytes.Equal(b, back) {
			t.Fatalf("%x became %x", b, back)
		}
	})
}

func FuzzAcceptor(f *testing.F) {
	f.Add(wire.AppendAcceptorGreeting(nil, &consensus.AcceptorGreeting{Config: consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1, Host: "h", Port: 2}}}}))
	f.Add(wire.AppendVoteResponse(nil, &consensus.VoteResponse{History: consensus.History{{Term: 1, LSN: 8}}}))
	f.Add(wire.AppendAppendResponse(nil, &consensus.AppendResponse{HasFeedback: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.AcceptorMessage
		_ = wire.DecodeAcceptor(b, &m)
	})
}

func FuzzPageRequest(f *testing.F) {
	for k := wire.PageExists; k <= wire.PageSLRUSegment; k++ {
		f.Add((&wire.PageRequest{Kind: k, ID: 1}).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := wire.DecodePageRequest(b); err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("%x became %x", b, r.Append(nil))
		}
	})
}

func FuzzPageReply(f *testing.F) {
	f.Add((&wire.PageReply{Request: wire.PageRequest{Kind: wire.PageError}, Message: "m"}).AppendHead(nil))
	f.Add(append((&wire.PageReply{Request: wire.PageRequest{Kind: wire.PageGet}}).AppendHead(nil), make([]byte, 8192)...))
	f.Add((&wire.PageReply{Request: wire.PageRequest{Kind: wire.PageSLRUSegment}, Blocks: 1 << 31}).AppendHead(nil))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = wire.DecodePageReply(b) })
}

func FuzzReplication(f *testing.F) {
	f.Add((&wire.Status{Write: 1}).Append(nil))
	f.Add(wire.AppendFeedbackMessage(nil, &consensus.PageserverFeedback{Shard: 1, Corruption: true}))
	f.Add((&wire.XLogData{Start: 1}).AppendHead(nil))
	f.Add([]byte("z\x00\x00\x00\x00\x00\x00\x00\x07\x01a\x00\xFF\xFF\xFF\xFF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = wire.DecodeReader(b)
		_, _ = wire.DecodeStream(b)
		_, _ = wire.DecodeFeedback(b)
	})
}

func FuzzCommand(f *testing.F) {
	f.Add(`START_REPLICATION SLOT "s" PHYSICAL 0/8 TIMELINE 1 (term='1')`)
	f.Add(`START_WAL_PUSH (proto_version '3', allow_timeline_creation 'true')`)
	f.Fuzz(func(t *testing.T, sql string) { _, _ = wire.ParseCommand(sql) })
}

// A canned is a peer that says some bytes and listens to everything.
type canned struct {
	net.Conn
	say io.Reader
}

func (c *canned) Read(p []byte) (int, error)  { return c.say.Read(p) }
func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) RemoteAddr() net.Addr        { return nil }
func (c *canned) Close() error                { return nil }
func (c *canned) SetDeadline(time.Time) error { return nil }

func FuzzServer(f *testing.F) {
	start := []byte("\x00\x00\x00\x11\x00\x03\x00\x00user\x00me\x00\x00")
	f.Add(append([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"), start...))
	f.Add(append(bytes.Clone(start), "Q\x00\x00\x00\x06x\x00X\x00\x00\x00\x04"...))
	f.Add(append(bytes.Clone(start), "Q\x00\x00\x00\x04"...))
	f.Add(append(bytes.Clone(start), "Q\xFF\xFF\xFF\xFF"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := wire.Accept(&canned{say: bytes.NewReader(b)}, 0)
		if err != nil {
			return
		}
		s.Serve(context.Background(), func(_ context.Context, s *wire.Session, sql string) error {
			if _, err := wire.ParseCommand(sql); err != nil {
				return err
			}
			s.CopyBoth()
			for {
				if _, err := s.ReadCopy(); err != nil {
					return err
				}
			}
		})
	})
}

func FuzzClient(f *testing.F) {
	ok := "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
	f.Add([]byte(ok + "T\x00\x00\x00\x06\x00\x00D\x00\x00\x00\x06\x00\x00C\x00\x00\x00\x04Z\x00\x00\x00\x05I"))
	f.Add([]byte(ok + "D\x00\x00\x00\x0A\x00\x01\xFF\xFF\xFF\xFE"))
	f.Add([]byte(ok + "E\x00\x00\x00\x05S"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := wire.Start(&canned{say: bytes.NewReader(b)}, wire.ClientConfig{})
		if err != nil {
			return
		}
		c.Query("q")
		if c.CopyBoth("s") == nil {
			for {
				if _, err := c.ReadCopy(); err != nil {
					return
				}
			}
		}
	})
}

func FuzzPeer(f *testing.F) {
	id := core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	f.Add(wire.AppendPeerQuestion(nil, id))
	f.Add(wire.AppendPeerReport(nil, id, nil))
	f.Add(wire.AppendPeerReport(nil, id, &consensus.PeerReport{Term: 3, Flush: 8, Stuck: true,
		Config: consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1, Host: "h", Port: 2}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := wire.DecodePeerQuestion(b); err == nil && !bytes.Equal(b, wire.AppendPeerQuestion(nil, id)) {
			t.Fatalf("question %x became another one", b)
		}
		id, r, known, err := wire.DecodePeerReport(b)
		if err != nil {
			return
		}
		back := wire.AppendPeerReport(nil, id, nil)
		if known {
			back = wire.AppendPeerReport(nil, id, &r)
		}
		if again, r2, _, err := wire.DecodePeerReport(back); err != nil || again != id || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%x: %v %+v became %v %+v, %v", b, id, r, again, r2, err)
		}
	})
}
