package consensus_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

// A world is a few acceptors on disks that lose unsynced writes, some
// proposers, and connections between them, driven by one stream of choices.
// Every law of the protocol is checked after every step.
//
// A record is recordLen bytes that name the proposer incarnation which wrote it.
type world struct {
	choose    func(n int) int // 0 <= x < n
	now       env.Instant
	nodes     []*node
	props     []*prop
	conns     []*conn
	config    consensus.Configuration
	incarn    byte
	law       oracle
	quiet     bool // no faults: the heal phase
	elections int
	change    *reshaping // nil while the members stay
	wounds    *wounds    // nil while disks keep what they hold
}

const (
	base      = core.LSN(0x1000)
	recordLen = 8
)

// A pending write is one that a crash may lose.
type pendingWrite struct {
	off  int
	data []byte
}

type node struct {
	id      core.NodeID
	absent  bool                // it does not have the timeline
	tomb    core.Generation     // that took it away
	acc     *consensus.Acceptor // nil while down or absent
	control consensus.Control   // durable
	durable []byte              // from base on
	pending []pendingWrite
	flight  *flight // an fsync under way
}

// A flight is an fsync: it covers the pending writes there were when it began.
type flight struct {
	mark  consensus.FlushMark
	count int
}

type prop struct {
	*consensus.Proposer
	incarn byte
	term   core.Term // once elected
	wal    []byte    // from StartLSN on
	seq    byte
}

// A conn carries messages both ways; one that was lost at one end may still
// deliver at the other.
type conn struct {
	p       *prop
	at      int // which acceptor
	peer    int // its number at the proposer
	num     uint64
	session consensus.Session
	up      []any // to the acceptor
	down    []any // to the proposer
	owes    bool  // an append is not answered yet
	cut     bool  // the acceptor's end is gone
	lost    bool  // the proposer's end is gone
}

func newWorld(nodes, props int, choose func(int) int) *world {
	w := &world{choose: choose}
	w.config.Generation = 1
	for i := range nodes {
		w.config.Members = append(w.config.Members, sk(i+1))
	}
	for _, m := range w.config.Members {
		n := &node{id: m.ID, control: consensus.Control{Config: w.config, Server: server, TimelineStart: base}}
		w.nodes = append(w.nodes, n)
		w.start(n)
	}
	for range props {
		w.props = append(w.props, nil)
	}
	for i := range w.props {
		w.campaign(i, 0)
	}
	w.law.init(w)
	return w
}

func sk(i int) consensus.Member { return consensus.Member{ID: core.NodeID(i), Host: "sk", Port: 1} }

var server = consensus.Server{PGVersion: 150000, SystemID: 7, SegmentSize: 1 << 20}

func (w *world) campaign(i int, above core.Term) {
	p, err := consensus.NewProposer(consensus.ProposerConfig{Config: w.known(), Server: server, Above: above})
	if err != nil {
		panic(err)
	}
	w.incarn++
	if old := w.props[i]; old != nil {
		for _, c := range w.conns {
			c.lost = c.lost || c.p == old
		}
	}
	w.props[i] = &prop{Proposer: p, incarn: w.incarn}
}

// start loads an acceptor from its disk.
func (w *world) start(n *node) {
	acc, err := consensus.NewAcceptor(n.id, core.TTID{}, n.control, base+core.LSN(wholeRecords(n.durable)))
	if err != nil {
		panic(core.Violation{Text: err.Error()})
	}
	n.acc = acc
}

// wholeRecords is the length of the valid records at the front of b.
func wholeRecords(b []byte) int {
	n := 0
	for n+recordLen <= len(b) && b[n] != 0 && bytes.Equal(b[n+4:n+recordLen], sum(b[n:n+4])) {
		n += recordLen
	}
	return n
}

func sum(b []byte) []byte { return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }

// crash takes a node down; of the writes not synced each may survive whole, in
// part, or not at all.
func (w *world) crash(n *node) {
	for _, p := range n.pending {
		n.apply(p.off, p.data[:w.choose(3)*len(p.data)/2])
	}
	n.pending, n.flight, n.acc = nil, nil, nil
	for _, c := range w.conns {
		if w.nodes[c.at] == n {
			c.cut, c.up = true, nil
		}
	}
}

func (n *node) apply(off int, data []byte) {
	if len(data) == 0 {
		return
	}
	if end := off + len(data); end > len(n.durable) {
		n.durable = append(n.durable, make([]byte, end-len(n.durable))...)
	}
	copy(n.durable[off:], data)
}

// wal is what a reader of the node sees: synced and unsynced bytes.
func (n *node) wal() []byte {
	v := node{durable: bytes.Clone(n.durable)}
	for _, p := range n.pending {
		v.apply(p.off, p.data)
	}
	return v.durable
}

func (n *node) sync(count int) {
	for _, p := range n.pending[:count] {
		n.apply(p.off, p.data)
	}
	n.pending = n.pending[count:]
	if n.flight != nil {
		n.flight.count = max(0, n.flight.count-count)
	}
}

// carryOut does what an acceptor's output asks for, in its order, unless the
// node crashes before one of the duties.
func (w *world) carryOut(n *node, out consensus.Output) (alive bool) {
	duties := []func(){}
	if out.Sync {
		duties = append(duties, func() { n.sync(len(n.pending)) })
	}
	if out.Promise != nil {
		duties = append(duties, func() { n.control = *out.Promise })
	}
	if out.Truncate {
		duties = append(duties, func() {
			n.sync(len(n.pending)) // what is below Start stays as durable as it was, or gets so
			keep := min(int(out.Start-base), len(n.durable))
			n.durable = n.durable[:keep:keep]
			n.acc.Truncated()
		})
	}
	if out.Adopt != nil {
		duties = append(duties, func() { n.control = *out.Adopt })
	}
	for _, do := range duties {
		if w.crashes(n) {
			return false
		}
		do()
	}
	return !w.crashes(n)
}

func (w *world) crashes(n *node) bool {
	if w.quiet || w.choose(60) != 0 {
		return false
	}
	w.crash(n)
	return true
}

// toAcceptor delivers the next message of a connection to its acceptor.
func (w *world) toAcceptor(c *conn) {
	n := w.nodes[c.at]
	if len(c.up) == 0 || n.acc == nil || c.cut {
		return
	}
	m := c.up[0]
	c.up = c.up[1:]
	var err error
	switch m := m.(type) {
	case consensus.ProposerGreeting:
		var r consensus.AcceptorGreeting
		var out consensus.Output
		if r, out, err = n.acc.Greet(&c.session, m); err == nil && w.carryOut(n, out) {
			c.down = append(c.down, r)
		}
	case consensus.VoteRequest:
		var r consensus.VoteResponse
		var out consensus.Output
		if r, out, err = n.acc.Vote(&c.session, m); err == nil && w.carryOut(n, out) {
			w.law.voted(n, r)
			c.down = append(c.down, r)
		}
	case consensus.ProposerElected:
		var out consensus.Output
		if out, err = n.acc.Elect(&c.session, m); err == nil {
			w.carryOut(n, out)
		}
	case consensus.AppendRequest:
		err = w.append(n, c, m)
	}
	if err != nil {
		if errors.Is(err, consensus.ErrHistory) {
			panic(core.Violation{Text: err.Error()})
		}
		c.cut, c.up = true, nil
	}
}

func (w *world) append(n *node, c *conn, m consensus.AppendRequest) error {
	if k := len(m.WAL); k > 1 && w.choose(4) == 0 { // bytes are a stream: cut it anywhere
		at := 1 + w.choose(k-1)
		rest := m
		rest.Begin, rest.WAL = m.Begin+core.LSN(at), m.WAL[at:]
		m.End, m.WAL = rest.Begin, m.WAL[:at]
		c.up = slices.Insert(c.up, 0, any(rest))
	}
	record := m.End - (m.End-base)%recordLen
	out, err := n.acc.Append(&c.session, m, record)
	if err != nil {
		return err
	}
	if out.Refuse {
		c.down = append(c.down, n.acc.Refusal())
		return nil
	}
	if out.Write {
		n.pending = append(n.pending, pendingWrite{int(m.Begin - base), m.WAL})
	}
	if out.Control != nil {
		n.control = *out.Control
	}
	c.owes = true
	return nil
}

// beginFlush and endFlush are one fsync; anything may happen between them.
func (n *node) beginFlush() {
	if n.acc == nil || n.flight != nil {
		return
	}
	mark, _ := n.acc.Unflushed()
	n.flight = &flight{mark, len(n.pending)}
}

func (w *world) endFlush(n *node) {
	if n.acc == nil || n.flight == nil {
		return
	}
	f := n.flight
	n.sync(f.count)
	n.flight = nil
	if c := n.acc.Flushed(f.mark); c != nil {
		n.control = *c
	}
	w.answer(n)
}

func (w *world) answer(n *node) {
	for _, c := range w.conns {
		if w.nodes[c.at] == n && c.owes && !c.cut {
			r := n.acc.Response()
			w.law.reported(n, r)
			c.down = append(c.down, r)
			c.owes = false
		}
	}
}

// toProposer delivers the next message of a connection to its proposer.
func (w *world) toProposer(c *conn) {
	if len(c.down) == 0 || !slices.Contains(w.props, c.p) {
		return
	}
	m := c.down[0]
	c.down = c.down[1:]
	var err error
	switch m := m.(type) {
	case consensus.AcceptorGreeting:
		err = c.p.Greeting(c.peer, c.num, m, w.now)
	case consensus.VoteResponse:
		err = c.p.Verdict(c.peer, c.num, m, w.now)
	case consensus.AppendResponse:
		err = c.p.Response(c.peer, c.num, &m, w.now)
	}
	if err != nil {
		if errors.Is(err, consensus.ErrHistory) || errors.Is(err, consensus.ErrProtocol) {
			panic(core.Violation{Text: err.Error()})
		}
		w.lose(c)
	}
	w.afterProposer(c.p)
}

func (w *world) afterProposer(p *prop) {
	if p.term == 0 && p.Phase() == consensus.Leading {
		p.term = p.Term()
		w.elections++
		w.law.elected(p)
	}
	w.law.committed(w, p)
	w.pump(p)
}

// lose ends a connection at the proposer's end.
func (w *world) lose(c *conn) {
	c.lost = true
	c.p.Lost(c.peer, c.num, w.now)
}

// pump connects and sends what the proposer wants sent.
func (w *world) pump(p *prop) {
	for i, m := range p.Members() {
		if at := int(m.ID) - 1; p.Dial(i, w.now) {
			num := p.Connected(i, w.now)
			w.conns = append(w.conns, &conn{p: p, at: at, peer: i, num: num})
			if w.nodes[at].acc == nil {
				w.lose(w.conns[len(w.conns)-1])
			}
		}
		c := w.current(p, i)
		if c == nil || c.lost {
			continue
		}
		var m consensus.Message
		for p.Next(i, w.now, &m) {
			w.send(c, &m)
		}
		if g, ok := p.Gap(i); ok {
			w.recover(c, g)
		}
	}
}

// current is the latest connection of p to its acceptor i.
func (w *world) current(p *prop, i int) *conn {
	for _, c := range slices.Backward(w.conns) {
		if c.p == p && c.peer == i {
			return c
		}
	}
	return nil
}

func (w *world) send(c *conn, m *consensus.Message) {
	switch m.Kind {
	case consensus.MsgGreeting:
		c.up = append(c.up, m.Greeting)
	case consensus.MsgVote:
		c.up = append(c.up, m.Vote)
	case consensus.MsgElected:
		c.up = append(c.up, m.Elected)
	case consensus.MsgAppend:
		a := m.Append
		if a.WAL == nil {
			a.WAL = bytes.Clone(c.p.wal[a.Begin-min(a.Begin, c.p.StartLSN()):][:a.End-a.Begin])
		}
		c.up = append(c.up, a)
	}
}

// recover reads what a laggard lacks from the donor's disk.
func (w *world) recover(c *conn, g consensus.Gap) {
	for _, n := range w.nodes {
		if n.id != g.Donor.ID || n.acc == nil || n.acc.MayRecover(g.Term) != nil {
			continue
		}
		end := min(g.End, n.acc.FlushLSN())
		if end <= g.Begin {
			continue
		}
		var m consensus.Message
		if c.p.Fill(c.peer, c.num, g.Begin, end, w.now, &m) {
			m.Append.WAL = bytes.Clone(n.wal()[g.Begin-base : end-base])
			w.send(c, &m)
		}
	}
}

// offer writes a record as the compute beside p would.
func (w *world) offer(p *prop) {
	if p.Phase() != consensus.Leading || p.Ended() != nil || len(p.wal) > 60*recordLen {
		return
	}
	p.seq++
	head := []byte{p.incarn, p.seq, byte(p.term), 1}
	p.wal = append(append(p.wal, head...), sum(head)...)
	p.Offer(p.StartLSN() + core.LSN(len(p.wal)))
	w.pump(p)
}

// step does one thing that may happen next.
func (w *world) step() {
	w.now = w.now.Add(time.Duration(1+w.choose(20)) * time.Millisecond)
	switch k := w.choose(40); {
	case k < 12:
		if c := w.pick(func(c *conn) bool { return len(c.up) > 0 }); c != nil {
			w.toAcceptor(c)
		}
	case k < 22:
		if c := w.pick(func(c *conn) bool { return len(c.down) > 0 }); c != nil {
			w.toProposer(c)
		}
	case k < 25:
		w.nodes[w.choose(len(w.nodes))].beginFlush()
	case k < 28:
		w.endFlush(w.nodes[w.choose(len(w.nodes))])
	case k < 32:
		w.offer(w.props[w.choose(len(w.props))])
	case k < 34:
		w.fault(w.choose(8))
	case k < 35:
		p := w.props[w.choose(len(w.props))]
		if lsn := p.CommitLSN(); lsn > 0 {
			p.Forget(lsn)
		}
	case k < 37:
		w.now = w.now.Add(time.Duration(w.choose(400)) * time.Millisecond)
	default:
		w.tick()
	}
	if w.change != nil && w.choose(8) == 0 {
		w.reshape()
	}
	if w.wounds != nil && w.choose(4) == 0 {
		w.wounds.step(w)
	}
	w.law.check(w)
	w.forget()
}

// pick chooses a connection that has something to deliver.
func (w *world) pick(has func(*conn) bool) *conn {
	var some []*conn
	for _, c := range w.conns {
		if has(c) {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[w.choose(len(some))]
}

func (w *world) fault(k int) {
	switch {
	case k < 3:
		n := w.nodes[w.choose(len(w.nodes))]
		switch {
		case n.absent:
		case n.acc == nil:
			w.start(n)
		default:
			w.crash(n)
		}
	case k < 4:
		i := w.choose(len(w.props))
		w.campaign(i, 0)
	case len(w.conns) > 0:
		// Only the proposer notices: what it had sent may still arrive.
		w.lose(w.conns[w.choose(len(w.conns))])
	}
}

// tick lets every proposer do what time asks for, and restarts ended ones.
func (w *world) tick() {
	for i, p := range w.props {
		if e := p.Ended(); e != nil {
			if !w.goOn(i) {
				w.campaign(i, e.Term)
			}
			continue
		}
		if w.change != nil && !p.Reached() && (w.quiet || w.choose(4) == 0) {
			p.Reconfigure(w.change.record.Config) // it asks the register
		}
		for j := range p.Members() {
			c := w.current(p, j)
			if p.Silent(j, w.now) || c != nil && c.cut && !c.lost && w.choose(3) == 0 {
				w.lose(c)
			}
		}
		w.pump(p)
	}
}

// forget drops connections that carry nothing any more.
func (w *world) forget() {
	w.conns = slices.DeleteFunc(w.conns, func(c *conn) bool {
		return c.lost && (c.cut || len(c.up) == 0) && (len(c.down) == 0 || !slices.Contains(w.props, c.p))
	})
}

// heal ends all faults and tells whether one proposer then brings everybody
// level.
func (w *world) heal() error {
	w.quiet = true
	for _, n := range w.nodes {
		if n.acc == nil && !n.absent {
			w.start(n)
		}
	}
	w.props = w.props[:1]
	w.campaign(0, 0)
	want := core.LSN(0)
	for range 400 {
		w.now = w.now.Add(50 * time.Millisecond)
		for _, c := range slices.Clone(w.conns) {
			w.toAcceptor(c)
			w.toProposer(c)
		}
		for _, n := range w.nodes {
			n.beginFlush()
			w.endFlush(n)
		}
		w.tick()
		w.settle()
		if w.wounds != nil {
			w.wounds.settle(w)
		}
		w.law.check(w)
		w.forget()
		p := w.props[0]
		if p.Phase() == consensus.Leading && p.CommitLSN() != 0 && want == 0 {
			w.offer(p)
			want = p.AvailableLSN()
		}
		if want != 0 && p.Phase() == consensus.Leading && w.level(p, want) {
			return nil
		}
	}
	return fmt.Errorf("not level at %s after healing: commit %s, %d elections", want, w.props[0].CommitLSN(), w.elections)
}

func (w *world) level(p *prop, want core.LSN) bool {
	if !w.settled() {
		return false
	}
	for _, m := range w.members() {
		n := w.nodes[m.ID-1]
		if n.acc.CommitLSN() != want || n.acc.FlushLSN() != want || n.acc.History().LastTerm() != p.Term() {
			return false
		}
	}
	return p.CommitLSN() == want
}
