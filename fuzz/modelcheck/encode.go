package modelcheck

import (
	"bytes"
	"slices"
)

// A symmetry has the orders in which the names of a model can be taken.
type symmetry struct {
	proposers, acceptors [][]int
}

func newSymmetry(b Bounds) symmetry {
	s := symmetry{proposers: orders(b.Proposers)}
	if b.Generations > 0 {
		// Configurations name acceptors, so each order has to be tried; where
		// nothing names them, sorting finds the least one.
		s.acceptors = orders(b.Acceptors)
	}
	return s
}

// orders are all orders of n things.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, o := range orders(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(o), i, n-1))
		}
	}
	return all
}

// A codec writes states of one model as bytes: the least among those of states
// that differ in names only. It is for one goroutine.
//
// Layout: what has no name, the proposers, the acceptors, each of fixed size.
// An acceptor's part holds what proposers know of it.
type codec struct {
	m                *Model
	best, try, parts []byte
}

func (m *Model) codec() *codec { return &codec{m: m} }

// encode writes the state; the bytes are the codec's until the next call.
func (c *codec) encode(s *state) []byte {
	c.best = c.best[:0]
	for _, ps := range c.m.orders.proposers {
		if !c.m.changes() {
			c.tryOrder(s, ps, nil)
			continue
		}
		for _, as := range c.m.orders.acceptors {
			c.tryOrder(s, ps, as)
		}
	}
	return c.best
}

// tryOrder writes the state with proposers and acceptors in an order, acceptors
// sorted if as is nil, and keeps it if it is the least so far.
func (c *codec) tryOrder(s *state, ps, as []int) {
	m, b := c.m, c.try[:0]
	if m.changes() {
		b = appendConf(b, s.store, as)
	}
	b = append(b, s.committed[:m.Entries]...)
	b = append(b, s.elected[1:m.Terms+1]...)
	for _, p := range ps {
		prop := &s.p[p]
		b = append(b, flag(prop.leader)|prop.term)
		b = append(b, prop.hist[:m.Terms+1]...)
		b = m.appendLog(b, &prop.log)
		if m.changes() {
			b = appendConf(b, prop.conf, as)
		}
	}
	c.try = b
	if as == nil {
		c.try = c.sorted(c.try, s, ps)
	} else {
		for _, a := range as {
			c.try = m.appendAcceptor(c.try, s, ps, a, as)
		}
	}
	if len(c.best) == 0 || bytes.Compare(c.try, c.best) < 0 {
		c.best, c.try = c.try, c.best
	}
}

// sorted appends the acceptors in the order of their bytes.
func (c *codec) sorted(b []byte, s *state, ps []int) []byte {
	c.parts = c.parts[:0]
	var size int
	for a := range c.m.Acceptors {
		c.parts = c.m.appendAcceptor(c.parts, s, ps, a, nil)
		if a == 0 {
			size = len(c.parts)
		}
	}
	var left [MaxAcceptors][]byte
	parts := left[:c.m.Acceptors]
	for a := range parts {
		parts[a] = c.parts[a*size : (a+1)*size]
	}
	slices.SortFunc(parts, bytes.Compare)
	for _, part := range parts {
		b = append(b, part...)
	}
	return b
}

func (m *Model) appendAcceptor(b []byte, s *state, ps []int, a int, as []int) []byte {
	acc := &s.a[a]
	b = append(b, acc.term)
	b = append(b, acc.hist[:m.Terms+1]...)
	b = m.appendLog(b, &acc.log)
	if m.changes() {
		b = appendConf(b, acc.conf, as)
	}
	for _, p := range ps {
		v := &s.p[p].votes[a]
		b = append(b, v.flush)
		b = append(b, v.hist[:m.Terms+1]...)
		b = append(b, s.p[p].next[a])
	}
	return b
}

func (m *Model) appendLog(b []byte, w *wal) []byte {
	return append(append(b, w.len), w.entry[:m.Entries]...)
}

func appendConf(b []byte, c conf, as []int) []byte {
	return append(b, c.gen, byte(renamed(c.members, as)), flag(c.joint)|byte(renamed(c.new, as)))
}

// renamed is the set after the acceptors were put in an order.
func renamed(s set, as []int) (r set) {
	for i, a := range as {
		if s.has(a) {
			r |= 1 << i
		}
	}
	return r
}

func flag(b bool) byte {
	if b {
		return 0x80
	}
	return 0
}

// decode reads what encode has written.
func (m *Model) decode(b []byte) (s state) {
	take := func(dst []uint8) {
		copy(dst, b[:len(dst)])
		b = b[len(dst):]
	}
	one := func() uint8 {
		x := b[0]
		b = b[1:]
		return x
	}
	log := func(w *wal) {
		w.len = one()
		take(w.entry[:m.Entries])
	}
	readConf := func(c *conf) {
		if !m.changes() {
			return
		}
		c.gen, c.members = one(), set(one())
		x := one()
		c.new, c.joint = set(x&0x7F), x&0x80 != 0
	}
	readConf(&s.store)
	take(s.committed[:m.Entries])
	take(s.elected[1 : m.Terms+1])
	for p := range m.Proposers {
		prop := &s.p[p]
		x := one()
		prop.leader, prop.term = x&0x80 != 0, x&0x7F
		take(prop.hist[:m.Terms+1])
		log(&prop.log)
		readConf(&prop.conf)
	}
	for a := range m.Acceptors {
		acc := &s.a[a]
		acc.term = one()
		take(acc.hist[:m.Terms+1])
		log(&acc.log)
		readConf(&acc.conf)
		for p := range m.Proposers {
			v := &s.p[p].votes[a]
			v.flush = one()
			take(v.hist[:m.Terms+1])
			s.p[p].next[a] = one()
		}
	}
	return s
}
