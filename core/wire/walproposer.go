package wire

import (
	"xenon/consensus"
	"xenon/core"
)

// Tags of the walproposer protocol, version 3; requests and answers share
// them (neondatabase/neon:libs/safekeeper_api/src/membership.rs and
// safekeeper/src/safekeeper.rs).
const (
	tagGreeting = 'g'
	tagVote     = 'v'
	tagElected  = 'e'
	tagAppend   = 'a'
)

// AppendRequestHead is the bytes before the WAL in an AppendRequest.
const AppendRequestHead = 1 + 4 + 5*8

// A ProposerMessage is one CopyData body from a proposer. Exactly one field
// is set; Append.WAL points into the body.
type ProposerMessage struct {
	Greeting *consensus.ProposerGreeting
	Vote     *consensus.VoteRequest
	Elected  *consensus.ProposerElected
	Append   consensus.AppendRequest // if the others are nil
}

// AppendProposerGreeting encodes m.
func AppendProposerGreeting(dst []byte, m *consensus.ProposerGreeting) []byte {
	dst = append(dst, tagGreeting)
	dst = append(append(dst, m.TTID.Tenant.String()...), 0)
	dst = append(append(dst, m.TTID.Timeline.String()...), 0)
	dst = appendConfiguration(dst, m.Config)
	dst = be.AppendUint32(dst, m.Server.PGVersion)
	dst = be.AppendUint64(dst, m.Server.SystemID)
	return be.AppendUint32(dst, m.Server.SegmentSize)
}

// AppendVoteRequest encodes m.
func AppendVoteRequest(dst []byte, m consensus.VoteRequest) []byte {
	dst = be.AppendUint32(append(dst, tagVote), uint32(m.Generation))
	return be.AppendUint64(dst, uint64(m.Term))
}

// AppendProposerElected encodes m.
func AppendProposerElected(dst []byte, m *consensus.ProposerElected) []byte {
	dst = be.AppendUint32(append(dst, tagElected), uint32(m.Generation))
	dst = be.AppendUint64(dst, uint64(m.Term))
	dst = be.AppendUint64(dst, uint64(m.Start))
	return appendHistory(dst, m.History)
}

// AppendAppendRequest encodes all of m but its WAL, which follows on the wire
// (see [Conn.CopyData]).
func AppendAppendRequest(dst []byte, m *consensus.AppendRequest) []byte {
	dst = be.AppendUint32(append(dst, tagAppend), uint32(m.Generation))
	dst = be.AppendUint64(dst, uint64(m.Term))
	dst = be.AppendUint64(dst, uint64(m.Begin))
	dst = be.AppendUint64(dst, uint64(m.End))
	dst = be.AppendUint64(dst, uint64(m.Commit))
	return be.AppendUint64(dst, uint64(m.Truncate))
}

// DecodeProposer reads one CopyData body of a proposer into m. An append,
// the hot one, allocates nothing.
func DecodeProposer(b []byte, m *ProposerMessage) error {
	*m = ProposerMessage{}
	d := decoder{b: b}
	switch tag := d.u8(); tag {
	case tagGreeting:
		return d.greeting(m)
	case tagVote:
		m.Vote = &consensus.VoteRequest{Generation: d.generation(), Term: d.term()}
		return d.done("VoteRequest")
	case tagElected:
		m.Elected = &consensus.ProposerElected{Generation: d.generation(), Term: d.term(), Start: d.lsn(), History: d.history()}
		return d.done("ProposerElected")
	case tagAppend:
		return d.append(&m.Append)
	default:
		return Errorf(CodeProtocol, "unknown message %q from a proposer", tag)
	}
}

func (d *decoder) greeting(m *ProposerMessage) error {
	g := &consensus.ProposerGreeting{}
	tenant, timeline := d.str(), d.str()
	g.Config = d.configuration()
	g.Server = consensus.Server{PGVersion: d.u32(), SystemID: d.u64(), SegmentSize: d.u32()}
	if err := d.done("ProposerGreeting"); err != nil {
		return err
	}
	var err error
	if g.TTID.Tenant, err = core.ParseTenantID(tenant); err != nil {
		return &Error{Code: CodeProtocol, Message: "ProposerGreeting: " + err.Error()}
	}
	if g.TTID.Timeline, err = core.ParseTimelineID(timeline); err != nil {
		return &Error{Code: CodeProtocol, Message: "ProposerGreeting: " + err.Error()}
	}
	m.Greeting = g
	return nil
}

func (d *decoder) append(a *consensus.AppendRequest) error {
	*a = consensus.AppendRequest{Generation: d.generation(), Term: d.term(),
		Begin: d.lsn(), End: d.lsn(), Commit: d.lsn(), Truncate: d.lsn(), WAL: d.rest()}
	if err := d.done("AppendRequest"); err != nil {
		return err
	}
	if a.End < a.Begin || uint64(a.End-a.Begin) != uint64(len(a.WAL)) {
		return Errorf(CodeProtocol, "AppendRequest: %d bytes of WAL for %s to %s", len(a.WAL), a.Begin, a.End)
	}
	if len(a.WAL) > consensus.MaxAppend {
		return Errorf(CodeProtocol, "AppendRequest: %d bytes of WAL, want at most %d", len(a.WAL), consensus.MaxAppend)
	}
	return nil
}

// An AcceptorMessage is one CopyData body from an acceptor. Exactly one field
// is set.
type AcceptorMessage struct {
	Greeting *consensus.AcceptorGreeting
	Vote     *consensus.VoteResponse
	Append   consensus.AppendResponse // if the others are nil
}

// AppendAcceptorGreeting encodes m.
func AppendAcceptorGreeting(dst []byte, m *consensus.AcceptorGreeting) []byte {
	dst = be.AppendUint64(append(dst, tagGreeting), uint64(m.Node))
	dst = appendConfiguration(dst, m.Config)
	return be.AppendUint64(dst, uint64(m.Term))
}

// AppendVoteResponse encodes m.
func AppendVoteResponse(dst []byte, m *consensus.VoteResponse) []byte {
	dst = be.AppendUint32(append(dst, tagVote), uint32(m.Generation))
	dst = be.AppendUint64(dst, uint64(m.Term))
	dst = appendBool(dst, m.Granted)
	dst = be.AppendUint64(dst, uint64(m.Flush))
	dst = be.AppendUint64(dst, uint64(m.Truncate))
	return appendHistory(dst, m.History)
}

// AppendAppendResponse encodes m.
func AppendAppendResponse(dst []byte, m *consensus.AppendResponse) []byte {
	dst = be.AppendUint32(append(dst, tagAppend), uint32(m.Generation))
	dst = be.AppendUint64(dst, uint64(m.Term))
	dst = be.AppendUint64(dst, uint64(m.Flush))
	dst = be.AppendUint64(dst, uint64(m.Commit))
	dst = be.AppendUint64(dst, uint64(m.Standby.Time))
	dst = be.AppendUint64(dst, m.Standby.Xmin)
	dst = be.AppendUint64(dst, m.Standby.CatalogXmin)
	if m.HasFeedback {
		dst = AppendFeedback(dst, &m.Feedback)
	}
	return dst
}

// DecodeAcceptor reads one CopyData body of an acceptor into m. An append's
// answer without feedback allocates nothing.
func DecodeAcceptor(b []byte, m *AcceptorMessage) error {
	*m = AcceptorMessage{}
	d := decoder{b: b}
	switch tag := d.u8(); tag {
	case tagGreeting:
		m.Greeting = &consensus.AcceptorGreeting{Node: core.NodeID(d.u64()), Config: d.configuration(), Term: d.term()}
		return d.done("AcceptorGreeting")
	case tagVote:
		m.Vote = &consensus.VoteResponse{Generation: d.generation(), Term: d.term(), Granted: d.u8() != 0,
			Flush: d.lsn(), Truncate: d.lsn(), History: d.history()}
		return d.done("VoteResponse")
	case tagAppend:
		return d.appendResponse(&m.Append)
	default:
		return Errorf(CodeProtocol, "unknown message %q from an acceptor", tag)
	}
}

func (d *decoder) appendResponse(a *consensus.AppendResponse) (err error) {
	*a = consensus.AppendResponse{Generation: d.generation(), Term: d.term(), Flush: d.lsn(), Commit: d.lsn(),
		Standby: consensus.StandbyFeedback{Time: int64(d.u64()), Xmin: d.u64(), CatalogXmin: d.u64()}}
	if d.fail {
		return d.done("AppendResponse")
	}
	if len(d.b) > 0 {
		a.HasFeedback = true
		a.Feedback, err = DecodeFeedback(d.rest())
	}
	return err
}

func (d *decoder) generation() core.Generation { return core.Generation(d.u32()) }
func (d *decoder) term() core.Term             { return core.Term(d.u64()) }

func appendHistory(dst []byte, h consensus.History) []byte {
	dst = be.AppendUint32(dst, uint32(len(h)))
	for _, s := range h {
		dst = be.AppendUint64(dst, uint64(s.Term))
		dst = be.AppendUint64(dst, uint64(s.LSN))
	}
	return dst
}

func (d *decoder) history() consensus.History {
	n := d.count(16)
	if n == 0 {
		return nil
	}
	h := make(consensus.History, n)
	for i := range h {
		h[i] = consensus.TermSwitch{Term: d.term(), LSN: d.lsn()}
	}
	return h
}

func appendConfiguration(dst []byte, c consensus.Configuration) []byte {
	dst = be.AppendUint32(dst, uint32(c.Generation))
	dst = appendMembers(dst, c.Members)
	return appendMembers(dst, c.NewMembers)
}

func appendMembers(dst []byte, members []consensus.Member) []byte {
	dst = be.AppendUint32(dst, uint32(len(members)))
	for _, m := range members {
		dst = be.AppendUint64(dst, uint64(m.ID))
		dst = append(append(dst, clean(m.Host)...), 0)
		dst = be.AppendUint16(dst, m.Port)
	}
	return dst
}

func (d *decoder) configuration() consensus.Configuration {
	return consensus.Configuration{Generation: d.generation(), Members: d.members(), NewMembers: d.members()}
}

func (d *decoder) members() []consensus.Member {
	const least = 8 + 1 + 2 // id, empty host, port
	n := d.count(least)
	if n == 0 {
		return nil
	}
	members := make([]consensus.Member, n)
	for i := range members {
		members[i] = consensus.Member{ID: core.NodeID(d.u64()), Host: d.str(), Port: d.u16()}
	}
	return members
}
