package report

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"xenon/core/wire"
	"xenon/netsim/picture"
)

// A stream is one direction of a connection: bytes that are not a whole message
// yet, and what is known of its protocol.
type stream struct {
	from, to string
	rest     []byte
	// proto is how its messages look: unknown before the first bytes.
	proto protocol
	peer  *stream // the other direction, nil before it has said anything
	asked uint64  // the term that a proposer asked votes for last
}

type protocol uint8

const (
	unknown protocol = iota
	libpq
	http
	opaque
)

// maxRest bounds what is kept of a message that goes on.
const maxRest = 1 << 20

// feed takes bytes, and says what they complete. Only the first few messages of
// a segment are told one by one.
func (s *stream) feed(data []byte) picture.Label {
	if s.proto == unknown {
		s.guess(data)
	}
	switch s.proto {
	case libpq:
		return s.messages(data)
	case http:
		line, _, _ := bytes.Cut(data, []byte("\r\n"))
		if bytes.HasPrefix(line, []byte("HTTP/")) || bytes.Contains(line, []byte(" HTTP/")) {
			return picture.Label{Kind: "http", Text: strings.TrimSuffix(string(line[:min(len(line), 160)]), " HTTP/1.1")}
		}
		return picture.Label{Kind: "http", Text: "body goes on"}
	}
	return picture.Label{}
}

func (s *stream) guess(data []byte) {
	switch {
	case bytes.HasPrefix(data, []byte("HTTP/")), bytes.HasPrefix(data, []byte("GET ")), bytes.HasPrefix(data, []byte("POST ")),
		bytes.HasPrefix(data, []byte("PUT ")), bytes.HasPrefix(data, []byte("DELETE ")), bytes.HasPrefix(data, []byte("PATCH ")):
		s.proto = http
	case s.peer != nil && s.peer.proto == http:
		s.proto = http
	default:
		s.proto = libpq
	}
}

// messages cuts the stream into messages of libpq.
func (s *stream) messages(data []byte) picture.Label {
	s.rest = append(s.rest, data...)
	var said []string
	label := picture.Label{Kind: "pq"}
	for count := 0; ; count++ {
		head, body, ok := s.next()
		if !ok {
			break
		}
		l := s.message(head, body)
		if l.Weight > label.Weight || label.Text == "" && l.Kind != "" {
			label.Kind, label.Weight = l.Kind, max(l.Weight, label.Weight)
		}
		if l.Text != "" && len(said) < 6 {
			said = append(said, l.Text)
		} else if l.Text != "" {
			said = append(said[:6], "…")
		}
		label.Text = "-"
	}
	label.Text = strings.Join(said, "; ")
	if label.Text == "" {
		label.Text = fmt.Sprintf("%d bytes of a message that goes on", len(data))
	}
	return label
}

// next is the next whole message: its type, 0 for a start-up, and its body.
func (s *stream) next() (kind byte, body []byte, ok bool) {
	head := 5
	if len(s.rest) > 0 && s.rest[0] == 0 { // a start-up has no type; its length is below 16 MiB
		head = 4
	}
	if len(s.rest) < head {
		return 0, nil, false
	}
	n := int(binary.BigEndian.Uint32(s.rest[head-4:])) - 4
	if n < 0 || n > maxRest {
		s.proto, s.rest = opaque, nil // not what we took it for
		return 0, nil, false
	}
	if len(s.rest) < head+n {
		return 0, nil, false
	}
	if head == 5 {
		kind = s.rest[0]
	}
	body, s.rest = s.rest[head:head+n], s.rest[head+n:]
	return kind, body, true
}

// message says what one message of libpq means.
func (s *stream) message(kind byte, body []byte) picture.Label {
	switch kind {
	case 0:
		return picture.Label{Kind: "pq", Text: "start-up"}
	case 'Q':
		return picture.Label{Kind: "query", Text: "query " + text(body, 200)}
	case 'E':
		return picture.Label{Kind: "error", Text: "error " + text(bytes.ReplaceAll(body, []byte{0}, []byte(" ")), 200), Weight: picture.Telling}
	case 'd':
		return s.copyData(body)
	case 'X':
		return picture.Label{Kind: "pq", Text: "terminate"}
	case 'c':
		return picture.Label{Kind: "pq", Text: "end of the copy"}
	}
	return picture.Label{Kind: "pq"}
}

// copyData is a message of a protocol inside: whose it is depends on who talks.
func (s *stream) copyData(b []byte) picture.Label {
	from, to := role(s.from), role(s.to)
	switch {
	case from == "compute" && to == "sk":
		var m wire.ProposerMessage
		if wire.DecodeProposer(b, &m) == nil {
			if m.Vote != nil {
				s.asked = uint64(m.Vote.Term)
			}
			return proposer(&m)
		}
	case from == "sk" && to == "compute":
		var m wire.AcceptorMessage
		if wire.DecodeAcceptor(b, &m) == nil {
			return acceptor(&m)
		}
	case to == "ps" || from == "ps" && to != "sk":
		return pages(b, to == "ps" && from != "sk")
	}
	if m, err := wire.DecodeStream(b); err == nil {
		if m.Kind == wire.MsgXLogData {
			return picture.Label{Kind: "wal", Text: fmt.Sprintf("WAL %s, %d bytes (end of log %s)", m.Data.Start, len(m.Data.WAL), m.Data.End)}
		}
		return picture.Label{Kind: "keepalive", Text: fmt.Sprintf("keepalive, end of log %s", m.Keepalive.End)}
	}
	return feedback(b)
}

func feedback(b []byte) picture.Label {
	m, err := wire.DecodeReader(b)
	if err != nil {
		return picture.Label{Kind: "copy", Text: fmt.Sprintf("%d bytes", len(b))}
	}
	return picture.Label{Kind: "feedback", Text: fmt.Sprintf("feedback %+v", m)}
}

func proposer(m *wire.ProposerMessage) picture.Label {
	switch {
	case m.Greeting != nil:
		return picture.Label{Kind: "greeting", Text: fmt.Sprintf("ProposerGreeting, configuration %d", m.Greeting.Config.Generation)}
	case m.Vote != nil:
		return picture.Label{Kind: "vote", Text: fmt.Sprintf("VoteRequest for term %d", m.Vote.Term), Weight: picture.Telling}
	case m.Elected != nil:
		return picture.Label{Kind: "elected", Weight: picture.Telling,
			Text: fmt.Sprintf("ProposerElected: term %d sends from %s on, history %v", m.Elected.Term, m.Elected.Start, m.Elected.History)}
	}
	a := &m.Append
	if len(a.WAL) == 0 {
		return picture.Label{Kind: "heartbeat", Text: fmt.Sprintf("AppendRequest term %d, no WAL, at %s, commit %s", a.Term, a.Begin, a.Commit)}
	}
	return picture.Label{Kind: "append", Text: fmt.Sprintf("AppendRequest term %d, WAL %s to %s, commit %s", a.Term, a.Begin, a.End, a.Commit)}
}

func acceptor(m *wire.AcceptorMessage) picture.Label {
	switch {
	case m.Greeting != nil:
		return picture.Label{Kind: "greeting", Text: fmt.Sprintf("AcceptorGreeting of node %d, term %d", m.Greeting.Node, m.Greeting.Term)}
	case m.Vote != nil:
		said := "refused"
		if m.Vote.Granted {
			said = "granted"
		}
		return picture.Label{Kind: "vote", Weight: picture.Telling,
			Text: fmt.Sprintf("VoteResponse: %s, own term %d, flush %s, history %v", said, m.Vote.Term, m.Vote.Flush, m.Vote.History)}
	}
	return picture.Label{Kind: "ack", Text: fmt.Sprintf("AppendResponse term %d: flush %s, commit %s", m.Append.Term, m.Append.Flush, m.Append.Commit)}
}

func pages(b []byte, request bool) picture.Label {
	if request {
		if r, err := wire.DecodePageRequest(b); err == nil {
			return picture.Label{Kind: "page", Text: fmt.Sprintf("asks for %v of %v block %d as of %s, not modified since %s", r.Kind, r.Rel, r.Block, r.LSN, r.NotModifiedSince)}
		}
		return picture.Label{Kind: "page", Text: fmt.Sprintf("request of %d bytes", len(b))}
	}
	if r, err := wire.DecodePageReply(b); err == nil {
		if r.Message != "" {
			return picture.Label{Kind: "page", Text: "refuses: " + r.Message}
		}
		return picture.Label{Kind: "page", Text: fmt.Sprintf("answers %v of %v block %d as of %s", r.Request.Kind, r.Request.Rel, r.Request.Block, r.Request.LSN)}
	}
	if m, err := wire.DecodeStream(b); err == nil && m.Kind == wire.MsgXLogData {
		return picture.Label{Kind: "wal", Text: fmt.Sprintf("WAL %s, %d bytes (end of log %s)", m.Data.Start, len(m.Data.WAL), m.Data.End)}
	} else if err == nil {
		return picture.Label{Kind: "keepalive", Text: fmt.Sprintf("keepalive, end of log %s", m.Keepalive.End)}
	}
	return feedback(b)
}

// role is the kind of process: its name without the number.
func role(name string) string { return strings.TrimRight(name, "0123456789") }

func text(b []byte, limit int) string {
	b = bytes.TrimRight(b, "\x00")
	if len(b) > limit {
		return string(b[:limit]) + "…"
	}
	return string(b)
}
