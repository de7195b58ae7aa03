package netsim

import (
	"math/bits"
)

// network is hosts, the links between them, and every connection that has not
// ended on both sides.
type network struct {
	w        *World
	hosts    []*host
	aliases  map[string]*host
	links    [][]*link // from, to; made when first used
	conns    []*conn   // both ends, in the order they were made
	lastConn uint64
	tally    Tally
	free     [17][][]byte // segments to use again, by the logarithm of their size
}

// host is a machine.
type host struct {
	id        int
	name      string
	up        bool
	listeners map[string]*listener // by port, or path of a Unix socket
	lastPort  int
	door      Door
	backlog   int // 0 is the usual number
}

func (n *network) init(w *World) {
	n.w = w
	n.aliases = make(map[string]*host)
}

// host returns the host of that name, and adds it if it is new.
func (n *network) host(name string) *host {
	for _, h := range n.hosts {
		if h.name == name {
			return h
		}
	}
	h := &host{id: len(n.hosts), name: name, listeners: make(map[string]*listener), lastPort: 40000}
	n.hosts = append(n.hosts, h)
	for i := range n.links {
		n.links[i] = append(n.links[i], nil)
	}
	n.links = append(n.links, make([]*link, len(n.hosts)))
	return h
}

// named is for those who name hosts that exist.
func (n *network) named(name string) *host {
	for _, h := range n.hosts {
		if h.name == name {
			return h
		}
	}
	panic("netsim: no host " + name)
}

func (n *network) link(from, to *host) *link {
	l := n.links[from.id][to.id]
	if l == nil {
		l = &link{opts: n.w.opts.Link, even: n.w.opts.Even, from: from, to: to, rand: n.w.stream(links, "link "+from.name+" "+to.name)}
		n.links[from.id][to.id] = l
	}
	return l
}

func (n *network) eachLink(do func(*link)) {
	for _, row := range n.links {
		for _, l := range row {
			if l != nil {
				do(l)
			}
		}
	}
}

// between visits the ends of the connections between two hosts.
func (n *network) between(a, b *host, do func(*conn)) {
	for _, c := range n.snapshot() {
		if c.host == a && c.peer.host == b || c.host == b && c.peer.host == a {
			do(c)
		}
	}
}

func (n *network) snapshot() []*conn { return append([]*conn(nil), n.conns...) }

func (n *network) setCut(from, to *host, cut bool) {
	l := n.link(from, to)
	if l.cut == cut {
		return
	}
	l.cut = cut
	kind := "heal"
	if cut {
		kind = "cut"
		l.cutAt = n.w.now
	}
	e := Event{At: n.w.now, Kind: kind, A: uint64(from.id), B: uint64(to.id)}
	n.w.trace.event(e)
	if n.w.opts.Record != nil {
		n.w.opts.Record(Detail{Event: e, Proc: from.name, Peer: to.name})
	}
	n.between(from, to, func(c *conn) {
		if cut {
			c.watchSilence()
			return
		}
		if !c.cutOff() {
			n.w.timers.remove(&c.silence)
		}
		if c.host == from {
			c.out.retransmit()
		}
	})
}

// ended takes the sockets of an incarnation that has ended. What a kernel
// does depends on how it ended.
func (n *network) ended(e *Env, how string) {
	for _, h := range n.hosts {
		for _, key := range sortedKeys(h.listeners) {
			if l := h.listeners[key]; l.env == e {
				l.shut(how)
			}
		}
	}
	for _, c := range n.snapshot() {
		if c.env != e || c.closed {
			continue
		}
		if how == "power" {
			c.vanish()
			continue
		}
		// A kernel sends FIN unless there are unread bytes; whether there are
		// is a matter of luck, and so is this.
		c.shut(how == "kill" && c.out.link.rand.IntN(2) == 0)
	}
}

// powerCut makes peers of a host wait for it in vain.
func (n *network) powerCut(h *host) {
	for _, c := range n.snapshot() {
		if c.host == h {
			c.vanish() // also those that were closed and had bytes to send yet
		}
	}
}

// powerOn lets a host answer again what is still sent to it.
func (n *network) powerOn(h *host) {
	for _, c := range n.snapshot() {
		if c.peer.host == h {
			c.out.retransmit()
		}
	}
}

// sweep drops a connection that neither end has any use for.
func (n *network) sweep(c *conn) {
	if !c.gone() || !c.peer.gone() || c.out.flying() || c.peer.out.flying() {
		return
	}
	kept := n.conns[:0]
	for _, x := range n.conns {
		if x != c && x != c.peer {
			kept = append(kept, x)
		}
	}
	clear(n.conns[len(kept):])
	n.conns = kept
	for _, x := range []*conn{c, c.peer} {
		n.w.timers.remove(&x.silence)
		n.w.timers.remove(&x.readBy.timer)
		n.w.timers.remove(&x.writeBy.timer)
	}
}

const maxSegment = 1 << 16

// segment returns a buffer of n bytes, at most maxSegment.
func (n *network) segment(size int) []byte {
	class := bits.Len(uint(size - 1))
	if k := len(n.free[class]); k > 0 {
		b := n.free[class][k-1]
		n.free[class] = n.free[class][:k-1]
		return b[:size]
	}
	return make([]byte, size, 1<<class)
}

func (n *network) recycle(b []byte) {
	if b != nil {
		class := bits.Len(uint(cap(b) - 1))
		n.free[class] = append(n.free[class], b)
	}
}
