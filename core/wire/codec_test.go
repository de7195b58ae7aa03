package wire_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/wire"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The bytes of Neon's messages, computed by hand from their layouts.
func TestVectors(t *testing.T) {
	getPage := wire.PageRequest{Kind: wire.PageGet, ID: 0x0000123400000001, LSN: 1<<64 - 1, NotModifiedSince: 0x16ABCDE0,
		Rel: core.Rel{Spc: 1663, DB: 5, Node: 16384}, Block: 7}
	appendReq := consensus.AppendRequest{Generation: 1, Term: 3, Begin: 0x1500000, End: 0x1500100, Commit: 0x1500000, Truncate: 0x14FF000}
	greeting := consensus.AcceptorGreeting{Node: 7, Term: 2, Config: consensus.Configuration{Generation: 1,
		Members: []consensus.Member{{ID: 7, Host: "a", Port: 5454}}}}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"GetPage", getPage.Append(nil), "02 0000123400000001 FFFFFFFFFFFFFFFF 0000000016ABCDE0 0000067F 00000005 00004000 00 00000007"},
		{"AppendRequest", wire.AppendAppendRequest(nil, &appendReq), "61 00000001 0000000000000003 0000000001500000 0000000001500100 0000000001500000 00000000014FF000"},
		{"VoteRequest", wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: 9}), "76 00000001 0000000000000009"},
		{"VoteResponse", wire.AppendVoteResponse(nil, &consensus.VoteResponse{Generation: 1, Term: 9, Granted: true, Flush: 16, Truncate: 8, History: consensus.History{{Term: 3, LSN: 8}}}),
			"76 00000001 0000000000000009 01 0000000000000010 0000000000000008 00000001 0000000000000003 0000000000000008"},
		{"AcceptorGreeting", wire.AppendAcceptorGreeting(nil, &greeting), "67 0000000000000007 00000001 00000001 0000000000000007 6100 154E 00000000 0000000000000002"},
		{"Keepalive", (&wire.Keepalive{End: 0x10, Time: 2, Reply: true}).Append(nil), "6B 0000000000000010 0000000000000002 01"},
		{"Status", (&wire.Status{Write: 3, Flush: 2, Apply: 1, Time: 4}).Append(nil), "72 0000000000000003 0000000000000002 0000000000000001 0000000000000004 00"},
	}
	for _, test := range tests {
		if want := unhex(test.want); !bytes.Equal(test.got, want) {
			t.Errorf("%s\n got %X\nwant %X", test.name, test.got, want)
		}
	}
	if n := len(wire.AppendAppendRequest(nil, &appendReq)); n != wire.AppendRequestHead {
		t.Errorf("AppendRequest's head has %d bytes, want %d", n, wire.AppendRequestHead)
	}
}

// Sizes of all page messages (the table in the page service's protocol).
func TestPageMessageSizes(t *testing.T) {
	tests := []struct {
		kind            wire.PageKind
		request, answer int
	}{
		{wire.PageExists, 38, 39}, {wire.PageBlocks, 38, 42}, {wire.PageGet, 42, 42 + 8192},
		{wire.PageDBSize, 29, 37}, {wire.PageSLRUSegment, 30, 34 + 2*8192},
	}
	for _, test := range tests {
		req := wire.PageRequest{Kind: test.kind}
		rep := wire.PageReply{Request: req, Blocks: 2}
		pages := map[wire.PageKind]int{wire.PageGet: 1, wire.PageSLRUSegment: 2}[test.kind] * 8192
		if n := len(req.Append(nil)); n != test.request {
			t.Errorf("%s request has %d bytes, want %d", test.kind, n, test.request)
		}
		if n := len(rep.AppendHead(nil)) + pages; n != test.answer {
			t.Errorf("%s reply has %d bytes, want %d", test.kind, n, test.answer)
		}
	}
}

func genLSN(t *rapid.T) core.LSN { return core.LSN(rapid.Uint64().Draw(t, "lsn")) }

func genRequest(t *rapid.T) wire.PageRequest {
	r := wire.PageRequest{Kind: wire.PageKind(rapid.IntRange(0, 4).Draw(t, "kind")), ID: rapid.Uint64().Draw(t, "id"), LSN: genLSN(t), NotModifiedSince: genLSN(t)}
	u32 := func(s string) uint32 { return rapid.Uint32().Draw(t, s) }
	switch r.Kind {
	case wire.PageGet:
		r.Block = u32("block")
		fallthrough
	case wire.PageExists, wire.PageBlocks:
		r.Rel = core.Rel{Spc: core.OID(u32("spc")), DB: core.OID(u32("db")), Node: core.OID(u32("node")), Fork: core.Fork(rapid.Byte().Draw(t, "fork"))}
	case wire.PageDBSize:
		r.Rel.DB = core.OID(u32("db"))
	case wire.PageSLRUSegment:
		r.SLRU, r.Segment = core.SLRU(rapid.Byte().Draw(t, "slru")), u32("segment")
	}
	return r
}

func TestPageMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := genRequest(t)
		got, err := wire.DecodePageRequest(req.Append(nil))
		if err != nil || got != req {
			t.Fatalf("%+v became %+v, %v", req, got, err)
		}
		rep := wire.PageReply{Request: req}
		switch req.Kind {
		case wire.PageExists:
			rep.Exists = rapid.Bool().Draw(t, "exists")
		case wire.PageBlocks:
			rep.Blocks = rapid.Uint32().Draw(t, "blocks")
		case wire.PageGet:
			rep.Pages = bytes.Repeat([]byte{7}, 8192)
		case wire.PageDBSize:
			rep.Bytes = rapid.Int64().Draw(t, "bytes")
		case wire.PageSLRUSegment:
			rep.Blocks = uint32(rapid.IntRange(1, 32).Draw(t, "pages"))
			rep.Pages = bytes.Repeat([]byte{9}, 8192*int(rep.Blocks))
		}
		if rapid.IntRange(0, 4).Draw(t, "error?") == 0 {
			rep = wire.PageReply{Request: wire.PageRequest{Kind: wire.PageError, ID: req.ID, LSN: req.LSN, NotModifiedSince: req.NotModifiedSince}, Message: "no such page"}
		}
		back, err := wire.DecodePageReply(append(rep.AppendHead(nil), rep.Pages...))
		if err != nil || cmp.Diff(rep, back) != "" {
			t.Fatalf("reply changed: %v\n%s", err, cmp.Diff(rep, back))
		}
	})
}

func genConfig(t *rapid.T) (c consensus.Configuration) {
	c.Generation = core.Generation(rapid.Uint32().Draw(t, "generation"))
	member := rapid.Custom(func(t *rapid.T) consensus.Member {
		return consensus.Member{ID: core.NodeID(rapid.Uint64().Draw(t, "node")), Host: rapid.StringMatching(`[a-z0-9.:-]{0,20}`).Draw(t, "host"), Port: rapid.Uint16().Draw(t, "port")}
	})
	list := func(name string) (m []consensus.Member) {
		if m = rapid.SliceOfN(member, 0, 5).Draw(t, name); len(m) == 0 {
			return nil
		}
		return m
	}
	c.Members, c.NewMembers = list("members"), list("new members")
	return c
}

func genHistory(t *rapid.T) (h consensus.History) {
	for range rapid.IntRange(0, 5).Draw(t, "terms") {
		h = append(h, consensus.TermSwitch{Term: core.Term(rapid.Uint64().Draw(t, "term")), LSN: genLSN(t)})
	}
	return h
}

func TestProposerMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term, gen := core.Term(rapid.Uint64().Draw(t, "term")), core.Generation(rapid.Uint32().Draw(t, "gen"))
		var want, got wire.ProposerMessage
		var b []byte
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			want.Greeting = &consensus.ProposerGreeting{TTID: core.TTID{Tenant: core.TenantID{1, 2}, Timeline: core.TimelineID{3}}, Config: genConfig(t),
				Server: consensus.Server{PGVersion: rapid.Uint32().Draw(t, "pg"), SystemID: rapid.Uint64().Draw(t, "system"), SegmentSize: rapid.Uint32().Draw(t, "segment")}}
			b = wire.AppendProposerGreeting(nil, want.Greeting)
		case 1:
			want.Vote = &consensus.VoteRequest{Generation: gen, Term: term}
			b = wire.AppendVoteRequest(nil, *want.Vote)
		case 2:
			want.Elected = &consensus.ProposerElected{Generation: gen, Term: term, Start: genLSN(t), History: genHistory(t)}
			b = wire.AppendProposerElected(nil, want.Elected)
		case 3:
			data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "wal")
			begin := genLSN(t) / 2
			want.Append = consensus.AppendRequest{Generation: gen, Term: term, Begin: begin, End: begin + core.LSN(len(data)), Commit: genLSN(t), Truncate: genLSN(t), WAL: data}
			b = append(wire.AppendAppendRequest(nil, &want.Append), data...)
		}
		if err := wire.DecodeProposer(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if len(b) > 1 && want.Append.WAL == nil {
			if err := wire.DecodeProposer(b[:len(b)-1], &got); err == nil {
				t.Fatal("a message that is cut short was taken")
			}
		}
	})
}

func TestAcceptorMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term, gen := core.Term(rapid.Uint64().Draw(t, "term")), core.Generation(rapid.Uint32().Draw(t, "gen"))
		u64 := func(s string) uint64 { return rapid.Uint64().Draw(t, s) }
		var want, got wire.AcceptorMessage
		var b []byte
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			want.Greeting = &consensus.AcceptorGreeting{Node: core.NodeID(u64("node")), Config: genConfig(t), Term: term}
			b = wire.AppendAcceptorGreeting(nil, want.Greeting)
		case 1:
			want.Vote = &consensus.VoteResponse{Generation: gen, Term: term, Granted: rapid.Bool().Draw(t, "granted"), Flush: genLSN(t), Truncate: genLSN(t), History: genHistory(t)}
			b = wire.AppendVoteResponse(nil, want.Vote)
		case 2:
			want.Append = consensus.AppendResponse{Generation: gen, Term: term, Flush: genLSN(t), Commit: genLSN(t),
				Standby: consensus.StandbyFeedback{Time: int64(u64("time")), Xmin: u64("xmin"), CatalogXmin: u64("catalog xmin")}}
			if rapid.Bool().Draw(t, "feedback?") {
				want.Append.HasFeedback = true
				want.Append.Feedback = consensus.PageserverFeedback{TimelineSize: u64("size"), LastReceived: genLSN(t), DiskConsistent: genLSN(t), RemoteConsistent: genLSN(t),
					ReplyTime: int64(u64("reply")), Shard: rapid.Uint32().Draw(t, "shard"), Corruption: rapid.Bool().Draw(t, "corrupt")}
			}
			b = wire.AppendAppendResponse(nil, &want.Append)
		}
		if err := wire.DecodeAcceptor(b, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestReaderMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u64 := func(s string) uint64 { return rapid.Uint64().Draw(t, s) }
		want := wire.ReaderMessage{Kind: rapid.SampledFrom([]byte("rhz")).Draw(t, "kind")}
		var b []byte
		switch want.Kind {
		case wire.MsgStatus:
			want.Status = wire.Status{Write: genLSN(t), Flush: genLSN(t), Apply: genLSN(t), Time: int64(u64("t")), Reply: rapid.Bool().Draw(t, "reply")}
			b = want.Status.Append(nil)
		case wire.MsgStandbyFeedback:
			want.Standby = consensus.StandbyFeedback{Time: int64(u64("t")), Xmin: u64("x"), CatalogXmin: u64("c")}
			b = wire.AppendStandbyFeedback(nil, want.Standby)
		case wire.MsgPageserverFeedback:
			want.Feedback = consensus.PageserverFeedback{LastReceived: genLSN(t)}
			b = wire.AppendFeedbackMessage(nil, &want.Feedback)
		}
		got, err := wire.DecodeReader(b)
		if err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
	})
}

func TestParseCommand(t *testing.T) {
	tests := []struct {
		sql  string
		want wire.Command
		err  string
	}{
		{"IDENTIFY_SYSTEM", wire.Command{Name: "IDENTIFY_SYSTEM"}, ""},
		{"identify_system;", wire.Command{Name: "IDENTIFY_SYSTEM"}, ""},
		{`START_REPLICATION SLOT "s" 0/3000000 TIMELINE 1`, wire.Command{Name: "START_REPLICATION", Slot: "s", Start: 0x3000000, Timeline: 1}, ""},
		{`START_REPLICATION PHYSICAL 1/A`, wire.Command{Name: "START_REPLICATION", Start: 0x10000000A}, ""},
		{`START_REPLICATION 0/8 (term='7')`, wire.Command{Name: "START_REPLICATION", Start: 8, Term: 7}, ""},
		{`START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')`, wire.Command{Name: "START_WAL_PUSH", ProtoVersion: 3}, ""},
		{`START_WAL_PUSH`, wire.Command{Name: "START_WAL_PUSH", ProtoVersion: 2, AllowCreation: true}, ""},
		{`PEER_REPORTS 3`, wire.Command{Name: "PEER_REPORTS", Node: 3}, ""},
		{`TIMELINE_HISTORY 2`, wire.Command{Name: "TIMELINE_HISTORY", Timeline: 2}, ""},
		{`SHOW wal_segment_size`, wire.Command{Name: "SHOW", Slot: "wal_segment_size"}, ""},
		{`READ_REPLICATION_SLOT s`, wire.Command{Name: "READ_REPLICATION_SLOT", Slot: "s"}, ""},
		{`CREATE_REPLICATION_SLOT "s" PHYSICAL RESERVE_WAL`, wire.Command{Name: "CREATE_REPLICATION_SLOT", Slot: "s"}, ""},
		{`START_REPLICATION`, wire.Command{}, "want the form"},
		{`START_REPLICATION 0/8 (term='x')`, wire.Command{}, "want a number above 0"},
		{`START_REPLICATION 0/8 (term=`, wire.Command{}, "options end without )"},
		{`START_REPLICATION 0/8 nonsense`, wire.Command{}, "unexpected"},
		{`START_REPLICATION SLOT s LOGICAL 0/8`, wire.Command{}, "physical replication only"},
		{`PEER_REPORTS sk3`, wire.Command{}, "id of a safekeeper"},
		{`SHOW a; SHOW b`, wire.Command{}, "one command"},
		{`SHOW 'a`, wire.Command{}, "without its end"},
	}
	for _, test := range tests {
		got, err := wire.ParseCommand(test.sql)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.sql, err, test.err)
			}
		} else if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v; want %+v", test.sql, got, err, test.want)
		}
	}
}
