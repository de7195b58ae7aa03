package wire

import (
	"xenon/consensus"
	"xenon/core"
)

// Messages of physical replication, each one CopyData
// (src/backend/replication/walsender.c, "Streaming Replication Protocol").
const (
	MsgXLogData           = 'w' // server: WAL
	MsgKeepalive          = 'k' // server: nothing new
	MsgStatus             = 'r' // client: how far it is
	MsgStandbyFeedback    = 'h' // client: what its queries still need
	MsgPageserverFeedback = 'z' // client: a pageserver's Feedback (Neon)
)

// XLogDataHead is the bytes before the WAL in an XLogData message.
const XLogDataHead = 1 + 3*8

// An XLogData message carries WAL that begins at Start.
type XLogData struct {
	Start core.LSN
	End   core.LSN // how far the server could send now
	Time  int64    // microseconds since 2000-01-01
	WAL   []byte
}

// AppendHead encodes all but the WAL.
func (m *XLogData) AppendHead(dst []byte) []byte {
	dst = append(dst, MsgXLogData)
	dst = be.AppendUint64(dst, uint64(m.Start))
	dst = be.AppendUint64(dst, uint64(m.End))
	return be.AppendUint64(dst, uint64(m.Time))
}

// A Keepalive tells how far the server's WAL goes while there is none to send.
type Keepalive struct {
	End   core.LSN
	Time  int64 // microseconds since 2000-01-01
	Reply bool  // the client is to send a Status at once
}

// Append encodes m.
func (m *Keepalive) Append(dst []byte) []byte {
	dst = append(dst, MsgKeepalive)
	dst = be.AppendUint64(dst, uint64(m.End))
	dst = be.AppendUint64(dst, uint64(m.Time))
	return appendBool(dst, m.Reply)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// A StreamMessage is one CopyData body from the server of a replication
// stream; Kind says which part is set.
type StreamMessage struct {
	Kind      byte
	Data      XLogData // MsgXLogData; WAL points into the body
	Keepalive Keepalive
}

// DecodeStream reads a CopyData body of a server.
func DecodeStream(b []byte) (m StreamMessage, err error) {
	d := decoder{b: b}
	m.Kind = d.u8()
	switch m.Kind {
	case MsgXLogData:
		m.Data = XLogData{Start: d.lsn(), End: d.lsn(), Time: int64(d.u64()), WAL: d.rest()}
		return m, d.done("XLogData message")
	case MsgKeepalive:
		m.Keepalive = Keepalive{End: d.lsn(), Time: int64(d.u64()), Reply: d.u8() != 0}
		return m, d.done("keepalive message")
	}
	return m, Errorf(CodeProtocol, "unknown message %q in a replication stream", m.Kind)
}

// A Status says how far a client of a replication stream is.
type Status struct {
	Write, Flush, Apply core.LSN
	Time                int64
	Reply               bool // the server is to send a Keepalive at once
}

// Append encodes m.
func (m *Status) Append(dst []byte) []byte {
	dst = append(dst, MsgStatus)
	dst = be.AppendUint64(dst, uint64(m.Write))
	dst = be.AppendUint64(dst, uint64(m.Flush))
	dst = be.AppendUint64(dst, uint64(m.Apply))
	dst = be.AppendUint64(dst, uint64(m.Time))
	return appendBool(dst, m.Reply)
}

// AppendStandbyFeedback encodes what a standby still needs as a message.
func AppendStandbyFeedback(dst []byte, f consensus.StandbyFeedback) []byte {
	dst = append(dst, MsgStandbyFeedback)
	dst = be.AppendUint64(dst, uint64(f.Time))
	dst = appendXID(dst, f.Xmin)
	return appendXID(dst, f.CatalogXmin)
}

// appendXID writes a full transaction id as the protocol has it: xid, epoch.
func appendXID(dst []byte, x uint64) []byte {
	return be.AppendUint32(be.AppendUint32(dst, uint32(x)), uint32(x>>32))
}

// AppendFeedbackMessage encodes a pageserver's feedback as a message.
func AppendFeedbackMessage(dst []byte, f *consensus.PageserverFeedback) []byte {
	dst = append(dst, MsgPageserverFeedback)
	size := len(dst)
	dst = AppendFeedback(be.AppendUint64(dst, 0), f)
	be.PutUint64(dst[size:], uint64(len(dst)-size-8))
	return dst
}

// A ReaderMessage is one CopyData body from the client of a replication
// stream; Kind says which part is set.
type ReaderMessage struct {
	Kind     byte
	Status   Status
	Standby  consensus.StandbyFeedback
	Feedback consensus.PageserverFeedback
}

// DecodeReader reads a CopyData body of a client.
func DecodeReader(b []byte) (m ReaderMessage, err error) {
	d := decoder{b: b}
	m.Kind = d.u8()
	switch m.Kind {
	case MsgStatus:
		m.Status = Status{Write: d.lsn(), Flush: d.lsn(), Apply: d.lsn(), Time: int64(d.u64()), Reply: d.u8() != 0}
		return m, d.done("standby status message")
	case MsgStandbyFeedback:
		m.Standby.Time = int64(d.u64())
		m.Standby.Xmin = d.xid()
		m.Standby.CatalogXmin = d.xid()
		return m, d.done("hot standby feedback message")
	case MsgPageserverFeedback:
		if n := d.u64(); n != uint64(len(d.b)) {
			return m, Errorf(CodeProtocol, "pageserver feedback says %d bytes and has %d", n, len(d.b))
		}
		m.Feedback, err = DecodeFeedback(d.rest())
		return m, err
	}
	return m, Errorf(CodeProtocol, "unknown message %q from the reader of a replication stream", m.Kind)
}
