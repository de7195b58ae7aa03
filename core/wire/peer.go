package wire

import (
	"xenon/consensus"
	"xenon/core"
)

// Tags of the messages under [CmdPeerReports], each one CopyData: a question is
// the ids of a timeline, and its answer the same ids with what the safekeeper
// tells of itself. Answers come in the order of the questions.
const (
	tagPeerQuestion = 'q'
	tagPeerReport   = 'r'
	tagPeerNone     = 'n' // the timeline is not in service there
)

// AppendPeerQuestion encodes the question for one timeline.
func AppendPeerQuestion(dst []byte, id core.TTID) []byte {
	return appendTTID(append(dst, tagPeerQuestion), id)
}

// DecodePeerQuestion reads which timeline is asked for.
func DecodePeerQuestion(b []byte) (id core.TTID, err error) {
	d := decoder{b: b}
	if tag := d.u8(); tag != tagPeerQuestion {
		return id, Errorf(CodeProtocol, "unknown message %q from a peer", tag)
	}
	id = d.ttid()
	return id, d.done("question of a peer")
}

// AppendPeerReport encodes an answer; r is nil if the timeline is not in
// service. Who answers is agreed on before: r.Node is left out.
func AppendPeerReport(dst []byte, id core.TTID, r *consensus.PeerReport) []byte {
	if r == nil {
		return appendTTID(append(dst, tagPeerNone), id)
	}
	dst = appendTTID(append(dst, tagPeerReport), id)
	dst = appendConfiguration(dst, r.Config)
	for _, v := range [...]uint64{uint64(r.Term), uint64(r.LastTerm), uint64(r.Flush), uint64(r.Commit), uint64(r.Horizon),
		uint64(r.RemoteConsistent), uint64(r.Backup), uint64(r.LocalStart)} {
		dst = be.AppendUint64(dst, v)
	}
	return appendBool(appendBool(dst, r.Stuck), r.Wounded)
}

// DecodePeerReport reads an answer. known tells whether the timeline is in
// service there; without that there is no report.
func DecodePeerReport(b []byte) (id core.TTID, r consensus.PeerReport, known bool, err error) {
	d := decoder{b: b}
	switch tag := d.u8(); tag {
	case tagPeerNone:
		id = d.ttid()
	case tagPeerReport:
		known = true
		id = d.ttid()
		r = consensus.PeerReport{Config: d.configuration(), Term: d.term(), LastTerm: d.term(), Flush: d.lsn(), Commit: d.lsn(), Horizon: d.lsn(),
			RemoteConsistent: d.lsn(), Backup: d.lsn(), LocalStart: d.lsn(), Stuck: d.u8() != 0, Wounded: d.u8() != 0}
	default:
		return id, r, false, Errorf(CodeProtocol, "unknown answer %q of a peer", tag)
	}
	return id, r, known, d.done("answer of a peer")
}

func appendTTID(dst []byte, id core.TTID) []byte {
	return append(append(dst, id.Tenant[:]...), id.Timeline[:]...)
}

func (d *decoder) ttid() (id core.TTID) {
	copy(id.Tenant[:], d.bytes(len(id.Tenant)))
	copy(id.Timeline[:], d.bytes(len(id.Timeline)))
	return id
}
