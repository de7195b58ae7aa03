package consensus_test

import (
	"fmt"
	"slices"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/internal/killed"
)

// A proposerMachine gives one proposer answers in any order, true or not, of its
// latest connections and of older ones, and holds it to what a proposer is said
// to do, worked out here from sets and from logs that have the term of every
// byte.
type proposerMachine struct {
	choose killed.Choose
	line   *lineage
	conf   consensus.Configuration
	sync   bool
	p      *consensus.Proposer
	now    env.Instant
	peers  []peerModel

	phase        consensus.Phase
	term         core.Term
	end          consensus.EndKind
	ended        bool
	start, offer core.LSN
	donor        int // whose term's log elected it
	commit       core.LSN
	horizon      core.LSN
}

// A peerModel is one safekeeper as the proposer should see it.
type peerModel struct {
	member core.NodeID
	state  consensus.PeerState
	owed   bool // the proposer is to speak first
	conn   uint64
	voted  bool
	log    int // of the vote: whose term's log it is, own for the proposer's own
	voteTo core.LSN
	sent   core.LSN
	flush  core.LSN
	knows  core.LSN
}

// own stands for the proposer's own term among those of the lineage.
const own = -1

// proposerLaws is one run of the machine.
func proposerLaws(choose killed.Choose) error {
	return guarded(func() error {
		m := &proposerMachine{choose: choose, line: newLineage(choose, 1), term: 7, sync: choose(4) == 0}
		m.conf = someConf(choose, 1)
		p, err := consensus.NewProposer(consensus.ProposerConfig{Config: m.conf, Server: server, Above: 7, Sync: m.sync})
		if err != nil {
			return err
		}
		m.p = p
		m.meet()
		for range 60 {
			m.now += env.Instant(1 << 40)
			if err := m.step(); err != nil {
				return err
			}
			if err := m.compare(); err != nil || m.ended && !m.goOn() {
				return err
			}
		}
		return nil
	})
}

// someConf is a configuration of one set or two of different sizes.
func someConf(choose killed.Choose, g core.Generation) consensus.Configuration {
	c := consensus.Configuration{Generation: g}
	for id := range core.NodeID(1 + choose(3)) {
		c.Members = append(c.Members, consensus.Member{ID: id + 1})
	}
	for id := range core.NodeID(choose(5)) {
		c.NewMembers = append(c.NewMembers, consensus.Member{ID: id + 2})
	}
	return c
}

func (m *proposerMachine) meet() {
	m.peers = nil
	for _, member := range m.p.Members() {
		m.peers = append(m.peers, peerModel{member: member.ID})
	}
}

func (m *proposerMachine) step() error {
	i := m.choose(len(m.peers))
	switch k := m.choose(12); {
	case m.peers[i].state == consensus.Offline || k == 0:
		m.connect(i)
	case m.peers[i].owed && k < 9:
		return m.next(i)
	case k == 1:
		m.lose(i)
	case k == 2 && m.phase == consensus.Leading:
		m.offer += core.LSN(m.choose(4))
		m.p.Offer(m.offer)
	case k == 3 && m.choose(8) == 0:
		m.conf = someConf(m.choose, m.conf.Generation+1)
		m.p.Reconfigure(m.conf)
		m.stop(consensus.Reconfigured)
	default:
		return m.answer(i)
	}
	return nil
}

func (m *proposerMachine) connect(i int) {
	pe := &m.peers[i]
	if !m.p.Dial(i, m.now) {
		return
	}
	pe.conn = m.p.Connected(i, m.now)
	pe.state, pe.owed = consensus.Handshake, true
}

func (m *proposerMachine) lose(i int) {
	pe := &m.peers[i]
	if pe.state == consensus.Offline {
		return
	}
	m.p.Lost(i, pe.conn, m.now)
	pe.state, pe.owed = consensus.Offline, false
	m.level()
}

// next takes what the proposer is to say first.
func (m *proposerMachine) next(i int) error {
	pe := &m.peers[i]
	var msg consensus.Message
	if !m.p.Next(i, m.now, &msg) {
		return fmt.Errorf("%s, it says nothing to safekeeper %d", pe.state, pe.member)
	}
	pe.owed = false
	switch {
	case pe.state == consensus.Handshake && msg.Kind == consensus.MsgGreeting:
	case pe.state == consensus.WaitVerdict && msg.Kind == consensus.MsgVote && msg.Vote.Term == m.term && msg.Vote.Generation == m.conf.Generation:
	case pe.state == consensus.Active && msg.Kind == consensus.MsgElected:
		if e := msg.Elected; e.Start != pe.sent || e.Term != m.term || e.Generation != m.conf.Generation || !slices.Equal(e.History, m.history()) {
			return fmt.Errorf("elected in term %d at %s it says %+v to a log of term %d up to %s, which is its own up to %s",
				m.term, m.start, e, pe.log, pe.voteTo, pe.sent)
		}
	default:
		return fmt.Errorf("to safekeeper %d, %s, it says %+v", pe.member, pe.state, msg)
	}
	return nil
}

// history is that of the log of the own term.
func (m *proposerMachine) history() consensus.History {
	return prefix(m.line.histories[m.donor], m.start).With(consensus.TermSwitch{Term: m.term, LSN: m.start})
}

// writes is who wrote a byte of the proposer's own log.
func (m *proposerMachine) writes(n int) core.Term {
	if lsnAt(n) >= m.start {
		return m.term
	}
	return writer(m.line, m.donor, n)
}

// answer is anything that a safekeeper may say next.
func (m *proposerMachine) answer(i int) error {
	pe := &m.peers[i]
	conn, heard := pe.conn, pe.state > consensus.Connecting
	if m.choose(8) == 0 && conn > 1 {
		conn, heard = conn-1, false
	}
	kind := pe.state
	if m.choose(10) == 0 {
		kind = consensus.Handshake + consensus.PeerState(m.choose(4))
	}
	var err error
	var ok bool
	switch kind {
	case consensus.Handshake:
		ok, err = m.greet(i, conn, heard)
	case consensus.WaitVoting, consensus.WaitVerdict:
		ok, err = m.verdict(i, conn, heard)
	default:
		ok, err = m.respond(i, conn, heard)
	}
	if (err == nil) != ok {
		return fmt.Errorf("an answer of safekeeper %d, %s: %v; it is right: %t", pe.member, pe.state, err, ok)
	}
	if err != nil {
		m.lose(i)
	}
	return nil
}

// near is a term about the proposer's own, mostly that.
func (m *proposerMachine) near() core.Term {
	if k := m.choose(12); k < 2 {
		return m.term + core.Term(k) - 1
	} else if k == 2 {
		return m.term + 1
	}
	return m.term
}

func (m *proposerMachine) stop(kind consensus.EndKind) {
	if !m.ended {
		m.ended, m.end = true, kind
	}
}

// outranked ends it, because there is a higher term.
func (m *proposerMachine) outranked() {
	kind := consensus.Outvoted
	if m.phase == consensus.Leading {
		kind = consensus.Superseded
	}
	m.stop(kind)
}

func (m *proposerMachine) greet(i int, conn uint64, heard bool) (ok bool, err error) {
	pe, term := &m.peers[i], m.near()
	err = m.p.Greeting(i, conn, consensus.AcceptorGreeting{Node: pe.member, Config: m.conf, Term: term}, m.now)
	switch {
	case !heard:
		return true, err
	case pe.state != consensus.Handshake || pe.owed:
		return false, err
	case m.phase != consensus.Collecting && term > m.term:
		m.outranked()
	case m.phase != consensus.Collecting:
		pe.state, pe.owed = consensus.WaitVerdict, true
	default:
		m.term, pe.state = max(m.term, term), consensus.WaitVoting
		if !bothHave(m.conf, m.which(func(p *peerModel) bool { return p.state == consensus.WaitVoting })) {
			break
		}
		m.phase, m.term = consensus.Campaigning, m.term+1
		for j := range m.peers {
			if p := &m.peers[j]; p.state == consensus.WaitVoting {
				p.state, p.owed = consensus.WaitVerdict, true
			}
		}
	}
	return true, err
}

func (m *proposerMachine) which(is func(*peerModel) bool) map[core.NodeID]bool {
	yes := map[core.NodeID]bool{}
	for i := range m.peers {
		yes[m.peers[i].member] = is(&m.peers[i])
	}
	return yes
}

func (m *proposerMachine) verdict(i int, conn uint64, heard bool) (ok bool, err error) {
	pe, term, granted := &m.peers[i], m.near(), m.choose(8) > 0
	log := m.choose(len(m.line.logs))
	to := lsnAt(m.choose(len(m.line.logs[log]) + 2))
	if log == 0 { // without a history there is no WAL
		to = base
	}
	h := prefix(m.line.histories[log], to)
	if m.phase == consensus.Leading && m.choose(3) == 0 { // it has heard of the election before
		log, to, h = own, m.start+core.LSN(m.choose(int(m.offer-m.start)+2)), m.history()
	}
	r := consensus.VoteResponse{Generation: m.conf.Generation, Term: term, Granted: granted, Flush: to, History: h}
	if m.choose(12) == 0 {
		r.Generation--
	}
	err = m.p.Verdict(i, conn, r, m.now)
	switch {
	case !heard:
		return true, err
	case pe.state != consensus.WaitVerdict || pe.owed || r.Generation != m.conf.Generation:
		return false, err
	case term > m.term:
		m.outranked()
		return true, err
	case term < m.term:
		return false, err
	case !granted && !pe.voted && m.phase == consensus.Campaigning:
		m.outranked()
		return true, err
	}
	pe.voted = pe.voted || granted
	pe.log, pe.voteTo, pe.state = log, to, consensus.WaitElected
	if m.phase == consensus.Leading {
		return m.lead(pe), err
	}
	if bothHave(m.conf, m.which(func(p *peerModel) bool { return p.voted })) {
		m.win()
	}
	return true, err
}

// win: the log is that of the voter whose last term is highest, and of these the
// longest.
func (m *proposerMachine) win() {
	m.phase = consensus.Leading
	last := core.Term(0)
	for i := range m.peers {
		pe := &m.peers[i]
		if !pe.voted {
			continue
		}
		if t := prefix(m.line.histories[pe.log], pe.voteTo).LastTerm(); t > last || t == last && pe.voteTo > m.start || m.start == 0 {
			last, m.start, m.donor = t, pe.voteTo, pe.log
		}
	}
	m.offer = m.start
	for i := range m.peers {
		if pe := &m.peers[i]; pe.state == consensus.WaitElected {
			m.lead(pe)
		}
	}
}

// lead finds up to where a log is the proposer's. What was acknowledged counts
// no more than what the safekeeper says that it has now.
func (m *proposerMachine) lead(pe *peerModel) bool {
	n := 0
	for lsnAt(n) < pe.voteTo && (pe.log == own || writer(m.line, pe.log, n) == m.writes(n)) {
		n++
	}
	if lsnAt(n) > m.offer {
		return false
	}
	pe.state, pe.owed, pe.sent = consensus.Active, true, lsnAt(n)
	pe.flush = min(pe.flush, pe.voteTo)
	return true
}

func (m *proposerMachine) respond(i int, conn uint64, heard bool) (ok bool, err error) {
	pe, term := &m.peers[i], m.near()
	r := consensus.AppendResponse{Generation: m.conf.Generation, Term: term, Flush: lsnAt(m.choose(16)), Commit: lsnAt(m.choose(16))}
	if m.offer > 0 && m.choose(3) > 0 {
		r.Flush = m.start + core.LSN(m.choose(int(m.offer-m.start)+1))
		r.Commit = r.Flush
	}
	if k := m.choose(16); k < 2 {
		r.Generation += core.Generation(2*k) - 1
	}
	err = m.p.Response(i, conn, &r, m.now)
	switch {
	case !heard:
		return true, err
	case term > m.term:
		m.outranked()
		return true, err
	case r.Generation != m.conf.Generation || pe.state != consensus.Active || term < m.term || r.Flush > m.offer:
		return false, err
	case r.Flush < pe.flush:
		pe.flush = 0
		return false, err
	}
	pe.flush, pe.knows = r.Flush, r.Commit
	m.count()
	m.level()
	return true, err
}

// count works out what is committed: what is flushed in the own term by more
// than half of each set.
func (m *proposerMachine) count() {
	flushed, all := map[core.NodeID]core.LSN{}, core.LSN(1)<<62
	for i := range m.peers {
		pe := &m.peers[i]
		all = min(all, pe.flush)
		if pe.flush >= m.start {
			flushed[pe.member] = pe.flush
		}
	}
	m.commit = max(m.commit, committed(m.conf, flushed))
	m.horizon = max(m.horizon, min(m.commit, all))
}

// level ends a proposer that was to make the log level, once a majority knows
// that it is, with all who are there.
func (m *proposerMachine) level() {
	if !m.sync || m.ended || m.phase != consensus.Leading || m.commit < m.start {
		return
	}
	knows := func(p *peerModel) bool { return p.flush >= m.start && p.knows >= m.start }
	for i := range m.peers {
		if pe := &m.peers[i]; pe.state > consensus.Connecting && !knows(pe) {
			return
		}
	}
	if bothHave(m.conf, m.which(knows)) {
		m.stop(consensus.Synced)
	}
}

// goOn makes the proposer that goes on in another configuration, if that ended a
// leader.
func (m *proposerMachine) goOn() bool {
	if m.end != consensus.Reconfigured || m.phase != consensus.Leading {
		return false
	}
	p, err := m.p.Continue()
	core.Must(err == nil, "it cannot go on: %v", err)
	knew := map[core.NodeID]core.LSN{}
	for _, pe := range m.peers {
		knew[pe.member] = pe.knows
	}
	m.p, m.ended = p, false
	m.meet()
	for i := range m.peers {
		m.peers[i].knows = knew[m.peers[i].member]
	}
	return true
}

// compare holds what can be asked of the proposer against what it should be.
func (m *proposerMachine) compare() error {
	p := m.p
	if e := p.Ended(); (e != nil) != m.ended || e != nil && e.Kind != m.end {
		return fmt.Errorf("it ended: %v; want %t, kind %d", e, m.ended, m.end)
	}
	switch {
	case p.Phase() != m.phase || p.Term() != m.term:
		return fmt.Errorf("it is %s in term %d, want %s in %d; %s", p.Phase(), p.Term(), m.phase, m.term, m.conf)
	case p.CommitLSN() != m.commit || p.TruncateLSN() != m.horizon:
		return fmt.Errorf("in %s, %v flushed, it commits %s, and all have %s; want %s and %s", m.conf, m.flushed(), p.CommitLSN(), p.TruncateLSN(), m.commit, m.horizon)
	case m.phase != consensus.Leading:
		return nil
	case p.StartLSN() != m.start || !slices.Equal(p.History(), m.history()):
		return fmt.Errorf("its term begins at %s with history %s, want %s and %s", p.StartLSN(), p.History(), m.start, m.history())
	}
	for i, pe := range m.peers {
		if s := p.Peer(i); s.State != pe.state || s.Flush != pe.flush {
			return fmt.Errorf("safekeeper %d is %s and has flushed %s, want %s and %s", pe.member, s.State, s.Flush, pe.state, pe.flush)
		}
	}
	return nil
}

func (m *proposerMachine) flushed() (all []string) {
	for _, pe := range m.peers {
		all = append(all, fmt.Sprintf("%d: %s", pe.member, pe.flush))
	}
	return all
}

func TestProposerLaws(t *testing.T) { killed.Holds(t, proposerLaws) }
