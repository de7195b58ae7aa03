package consensus_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/internal/killed"
)

// An acceptorMachine gives one acceptor messages in any order, of any term and
// generation, from proposers that keep no rule, and holds it to what an acceptor
// is said to do, worked out here in another way: logs have the term of every
// byte, so that histories need not be compared.
type acceptorMachine struct {
	choose   killed.Choose
	line     *lineage
	acc      *consensus.Acceptor
	sessions [2]consensus.Session
	greeted  [2]bool
	elected  [2]core.Term
	disk     consensus.Control
	durable  int // bytes that a crash leaves

	term             core.Term
	gen              core.Generation
	log              int // whose term's log it is, 0 for none
	written, flushed int // bytes; records end at even places
	commit, learned  int
	pending          bool
	flight           *consensus.FlushMark
	cut              bool // a truncation came after the flush under way began
}

// The configurations of a machine: the acceptor is of all but the third.
func machineConf(g core.Generation) consensus.Configuration {
	c := consensus.Configuration{Generation: g}
	for id := core.NodeID(1); id <= 3; id++ {
		if g != 3 || id != 1 {
			c.Members = append(c.Members, consensus.Member{ID: id})
		}
	}
	return c
}

func lsnAt(n int) core.LSN { return base + core.LSN(n) }

// acceptorLaws is one run of the machine.
func acceptorLaws(choose killed.Choose) error {
	return guarded(func() error {
		m := &acceptorMachine{choose: choose, line: newLineage(choose, 2), gen: 1, pending: true}
		m.disk = consensus.Control{Config: machineConf(1), Server: server, TimelineStart: base, LocalStart: base, Commit: base, Horizon: base}
		if err := m.load(); err != nil {
			return err
		}
		for range 40 {
			if err := m.step(); err != nil {
				return err
			}
			if err := m.compare(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *acceptorMachine) load() error {
	acc, err := consensus.NewAcceptor(1, core.TTID{}, m.disk, lsnAt(m.durable&^1))
	m.acc = acc
	return err
}

func (m *acceptorMachine) step() error {
	s := m.choose(2)
	switch k := m.choose(16); {
	case k < 2:
		return m.greet(s)
	case k < 4:
		return m.vote(s)
	case k < 7:
		return m.elect(s)
	case k < 11:
		return m.append(s)
	case k == 11:
		m.beginFlush()
	case k == 12:
		m.endFlush()
	case k == 13:
		return m.hear()
	case k == 14:
		return m.configure()
	default:
		return m.crash()
	}
	return nil
}

// carry does what an output owes.
func (m *acceptorMachine) carry(out consensus.Output) {
	if out.Sync {
		m.durable = m.written
	}
	m.save(out.Promise)
	if out.Truncate {
		m.durable = int(out.Start - base)
		m.acc.Truncated()
	}
	m.save(out.Adopt)
}

func (m *acceptorMachine) save(c *consensus.Control) {
	if c != nil {
		m.disk = *c
	}
}

func (m *acceptorMachine) greet(s int) error {
	g := core.Generation(m.choose(5))
	conf := machineConf(g)
	if g == 0 {
		conf = consensus.Configuration{}
	}
	r, out, err := m.acc.Greet(&m.sessions[s], consensus.ProposerGreeting{Config: conf, Server: server})
	m.carry(out)
	if want := g != 3 || m.gen >= 3; (err == nil) != want {
		return fmt.Errorf("a greeting of generation %d at generation %d: %v", g, m.gen, err)
	}
	if err != nil {
		return nil
	}
	m.greeted[s], m.gen = true, max(m.gen, g)
	if r.Term != m.term || r.Config.Generation != m.gen {
		return fmt.Errorf("it greets in term %d and generation %d, want %d and %d", r.Term, r.Config.Generation, m.term, m.gen)
	}
	return nil
}

// generation is mostly the acceptor's; served tells whether a message of it is.
func (m *acceptorMachine) generation(s int) (g core.Generation, served bool) {
	g = m.gen
	if m.choose(6) == 0 {
		g = core.Generation(1 + m.choose(4))
	}
	return g, m.greeted[s] && g == m.gen
}

func (m *acceptorMachine) vote(s int) error {
	g, served := m.generation(s)
	term := core.Term(m.choose(8))
	r, out, err := m.acc.Vote(&m.sessions[s], consensus.VoteRequest{Generation: g, Term: term})
	if (err == nil) != served {
		return fmt.Errorf("a vote request of generation %d at %d: %v", g, m.gen, err)
	}
	if err != nil {
		return nil
	}
	m.carry(out)
	m.flush(m.written)
	granted := term > m.term
	m.term = max(m.term, term)
	last := m.lastTerm()
	if r.Granted != granted || r.Term != m.term || r.Flush != lsnAt(m.flushed) || r.History.LastTerm() != last || r.Generation != m.gen {
		return fmt.Errorf("asked for a vote for %d it answers %+v; want granted %t, term %d, flush LSN %s, last term %d", term, r, granted, m.term, lsnAt(m.flushed), last)
	}
	if m.durable < m.flushed || m.disk.Term < r.Term {
		return fmt.Errorf("the answer to a vote request tells of %s and term %d, durable are %s and %d", r.Flush, r.Term, lsnAt(m.durable), m.disk.Term)
	}
	return nil
}

// flush makes the records below n count.
func (m *acceptorMachine) flush(n int) {
	m.flushed = max(m.flushed, n&^1)
	m.commit = max(m.commit, min(m.learned, m.flushed))
}

// lastTerm is that of the effective history: the last term that begins at the
// flush LSN or below it.
func (m *acceptorMachine) lastTerm() (last core.Term) {
	for _, s := range m.line.histories[m.log] {
		if s.LSN <= lsnAt(m.flushed) {
			last = s.Term
		}
	}
	return last
}

// shared is up to where the log is that of a term, byte by byte. The effective
// history vouches for whole records, so does the comparison.
func (m *acceptorMachine) shared(term int) int {
	n := 0
	for n < m.flushed && writer(m.line, m.log, n) == writer(m.line, term, n) {
		n++
	}
	return n
}

func (m *acceptorMachine) elect(s int) error {
	g, served := m.generation(s)
	term := 1 + m.choose(len(m.line.logs)-1)
	start := m.shared(term)
	if m.choose(4) == 0 {
		start = m.choose(12)
	}
	out, err := m.acc.Elect(&m.sessions[s], consensus.ProposerElected{
		Generation: g, Term: core.Term(term), Start: lsnAt(start), History: m.line.histories[term],
	})
	if err == nil {
		m.carry(out)
	}
	switch {
	case served && m.term > core.Term(term):
		if err != nil || out.Truncate {
			return fmt.Errorf("term %d is elected, the acceptor in term %d: %v, %+v", term, m.term, err, out)
		}
	case !served || start != m.shared(term) || start < m.commit:
		if err == nil {
			return fmt.Errorf("an elected message of generation %d, term %d that starts at %d is taken by a log of term %d that shares %d and has committed %d",
				g, term, start, m.log, m.shared(term), m.commit)
		}
	default:
		if err != nil || !out.Truncate {
			return fmt.Errorf("an elected message of term %d that starts at %d: %v; its log of term %d shares %d", term, start, err, m.log, m.shared(term))
		}
		m.term, m.log, m.elected[s] = core.Term(term), term, core.Term(term)
		m.written, m.flushed, m.pending, m.cut = start, start, false, true
	}
	return nil
}

func (m *acceptorMachine) append(s int) error {
	g, served := m.generation(s)
	term, begin, n := m.term, m.written, m.choose(4)
	if m.choose(5) == 0 {
		term = core.Term(m.choose(8))
	}
	if m.choose(5) == 0 {
		begin = m.choose(10)
	}
	end, commit := begin+n, 0
	if m.choose(3) == 0 {
		commit = m.choose(12)
	}
	req := consensus.AppendRequest{Generation: g, Term: term, Begin: lsnAt(begin), End: lsnAt(end), Commit: lsnAt(commit), WAL: make([]byte, n)}
	out, err := m.acc.Append(&m.sessions[s], req, lsnAt(end&^1))
	refuse := served && m.term > term
	ok := served && !refuse && m.term == term && !m.pending && m.elected[s] == term && begin == m.written
	if (err == nil) != (ok || refuse) || out.Refuse != refuse || err == nil && out.Write != (ok && n > 0) {
		return fmt.Errorf("an append of generation %d, term %d at %d of %d bytes: %v, %+v; the acceptor is in generation %d, term %d (this connection %d), at %d",
			g, term, begin, n, err, out, m.gen, m.term, m.elected[s], m.written)
	}
	if !ok {
		return nil
	}
	m.written, m.learned = end, max(m.learned, commit)
	m.flush(m.flushed)
	m.save(out.Control)
	if r := m.acc.Response(); r.Flush != lsnAt(m.flushed) || r.Term != m.term {
		return fmt.Errorf("it has flushed %d, and answers %+v", m.flushed, r)
	}
	return nil
}

func (m *acceptorMachine) beginFlush() {
	if m.flight == nil {
		mark, _ := m.acc.Unflushed()
		m.flight, m.cut = &mark, false
	}
}

func (m *acceptorMachine) endFlush() {
	if m.flight == nil {
		return
	}
	mark := *m.flight
	m.flight = nil
	m.durable = max(m.durable, min(int(mark.Bytes-base), m.written))
	m.save(m.acc.Flushed(mark))
	if !m.cut {
		m.flush(int(mark.Bytes - base))
	}
}

// hear gives it what another safekeeper tells, true or not.
func (m *acceptorMachine) hear() error {
	r := consensus.PeerReport{
		Node: 2, Config: machineConf(core.Generation(1 + m.choose(4))), Term: core.Term(m.choose(8)), LastTerm: core.Term(m.choose(8)),
		Flush: lsnAt(m.choose(12)), Commit: lsnAt(m.choose(12)),
	}
	if m.choose(2) == 0 {
		r.LastTerm = m.lastTerm()
	}
	if m.choose(2) == 0 {
		r.Term = r.LastTerm
	}
	ahead := r.LastTerm > m.lastTerm() || r.LastTerm == m.lastTerm() && r.Flush > lsnAt(m.flushed)
	may := r.Term == r.LastTerm && r.Term > 0 && r.Term >= m.term && ahead && r.Config.Generation >= m.gen && r.Config.Generation != 3
	if got := m.acc.MayCopy(r); got != may {
		return fmt.Errorf("it may copy the log of %+v: %t; its own is of term %d to %d, in term %d, generation %d", r, got, m.lastTerm(), m.flushed, m.term, m.gen)
	}
	for range 2 {
		term := core.Term(m.choose(8))
		if m.choose(2) == 0 {
			term = m.term
		}
		if got, want := m.acc.MayRecover(term) == nil, term == m.term && term == m.lastTerm() && !m.pending; got != want {
			return fmt.Errorf("whoever names term %d may have the log: %t; it is of term %d in term %d", term, got, m.lastTerm(), m.term)
		}
	}
	if r.LastTerm == m.lastTerm() {
		m.learned = max(m.learned, int(r.Commit-base))
	}
	m.save(m.acc.Learn(r))
	m.flush(m.flushed)
	return nil
}

func (m *acceptorMachine) configure() error {
	if m.choose(2) == 0 {
		term := core.Term(m.choose(8))
		if out := m.acc.Bump(term); term > m.term {
			m.carry(out)
			m.flush(m.written)
			m.term = term
		}
		if m.disk.Term < m.term || m.durable < m.flushed {
			return fmt.Errorf("bumped to term %d it has %d on its disk, and WAL to %d of %d", m.term, m.disk.Term, m.durable, m.flushed)
		}
		return nil
	}
	g := core.Generation(1 + m.choose(4))
	out, err := m.acc.Configure(machineConf(g))
	if (err == nil) != (g <= m.gen || g != 3) {
		return fmt.Errorf("configuration %d given at generation %d: %v", g, m.gen, err)
	}
	if err == nil {
		m.carry(out)
		m.gen = max(m.gen, g)
	}
	return nil
}

// crash loads it anew; of what was written since the last sync some is there.
func (m *acceptorMachine) crash() error {
	m.durable += m.choose(max(m.written-m.durable, 0) + 1)
	if err := m.load(); err != nil {
		return err
	}
	if f := int(m.acc.FlushLSN() - base); f < m.flushed {
		return fmt.Errorf("WAL up to %d was reported, after a crash it ends at %d", m.flushed, f)
	}
	m.flushed = m.durable &^ 1
	m.durable, m.written, m.pending, m.flight = m.flushed, m.flushed, true, nil
	m.commit = max(int(m.disk.Commit-base), 0)
	m.learned = m.commit
	m.sessions, m.greeted, m.elected = [2]consensus.Session{}, [2]bool{}, [2]core.Term{}
	return nil
}

// compare holds what can be asked of the acceptor against what it should be.
func (m *acceptorMachine) compare() error {
	a := m.acc
	switch {
	case a.Term() != m.term || a.Generation() != m.gen:
		return fmt.Errorf("it is in term %d, generation %d, want %d, %d", a.Term(), a.Generation(), m.term, m.gen)
	case a.FlushLSN() != lsnAt(m.flushed) || a.WriteLSN() != lsnAt(m.written):
		return fmt.Errorf("its log is flushed to %s, written to %s; want %d, %d", a.FlushLSN(), a.WriteLSN(), m.flushed, m.written)
	case a.CommitLSN() != lsnAt(m.commit):
		return fmt.Errorf("its commit LSN is %s, want %d", a.CommitLSN(), m.commit)
	case a.Pending() != m.pending:
		return fmt.Errorf("pending is %t", a.Pending())
	case !slices.Equal(a.History(), prefix(m.line.histories[m.log], a.FlushLSN())):
		return fmt.Errorf("its history is %s, want %s up to %s", a.History(), m.line.histories[m.log], a.FlushLSN())
	case m.disk.Term != m.term || m.disk.Config.Generation != m.gen || !slices.Equal(m.disk.History, m.line.histories[m.log]):
		return fmt.Errorf("term %d, generation %d and history %s are durable; it told of %d, %d, %s",
			m.disk.Term, m.disk.Config.Generation, m.disk.History, m.term, m.gen, m.line.histories[m.log])
	case m.durable < m.flushed:
		return fmt.Errorf("it tells of WAL up to %d, durable is %d", m.flushed, m.durable)
	}
	if h := m.disk.History; len(h) > 0 && a.CommitLSN() >= h[len(h)-1].LSN && m.disk.Commit < h[len(h)-1].LSN {
		return errors.New("the first commit of a term is not durable")
	}
	return nil
}

func TestAcceptorLaws(t *testing.T) { killed.Holds(t, acceptorLaws) }
