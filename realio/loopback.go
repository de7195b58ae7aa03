package realio

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// A Loopback joins the Envs of one process that are given it: a connection
// from one of them to an address that one of them listens on stays in memory,
// where it costs no system call and no trip through the kernel's network. Who
// dials and who listens see no other difference; everybody else reaches the
// same listener through its socket.
type Loopback struct {
	mu        sync.Mutex
	listeners map[string]*listener // by address
	dialled   uint64               // connections so far: the dialler's address
}

// backlog is how many connections in memory wait to be accepted; a dial beyond
// takes the socket, as it does when nobody of this process listens.
const backlog = 128

// open registers a listener under the very address that a dialler names.
func (lo *Loopback) open(l *listener) {
	lo.mu.Lock()
	defer lo.mu.Unlock()
	if lo.listeners == nil {
		lo.listeners = make(map[string]*listener)
	}
	lo.listeners[l.address()] = l
}

// shut lets nobody dial l any more.
func (lo *Loopback) shut(l *listener) {
	lo.mu.Lock()
	defer lo.mu.Unlock()
	if lo.listeners[l.address()] == l {
		delete(lo.listeners, l.address())
	}
}

// dial connects n to whoever listens on addr, nil if nobody here does.
func (lo *Loopback) dial(n *network, addr string) net.Conn {
	lo.mu.Lock()
	defer lo.mu.Unlock()
	l := lo.listeners[addr]
	if l == nil || len(l.dialled) == cap(l.dialled) {
		return nil
	}
	lo.dialled++
	here, there := memoryPair(memoryAddr(fmt.Sprintf("memory:%d", lo.dialled)), l.Addr())
	l.dialled <- there
	here.join(n)
	return here
}

// A memoryAddr is the dialling end of a connection in memory.
type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }

// A listener accepts what comes to its socket and, with a Loopback, what is
// dialled in this process.
type listener struct {
	net.Listener
	net      *network
	loopback *Loopback // nil without

	dialled chan *memoryConn // waits to be accepted
	arrived chan arrival     // of the socket
	done    chan struct{}
	once    sync.Once
}

// An arrival is what the socket's Accept returned.
type arrival struct {
	conn net.Conn
	err  error
}

func (n *network) listener(l net.Listener) *listener {
	wrapped := &listener{Listener: l, net: n, loopback: n.loopback}
	if n.loopback != nil {
		wrapped.dialled = make(chan *memoryConn, backlog)
		wrapped.arrived = make(chan arrival)
		wrapped.done = make(chan struct{})
		go wrapped.acceptSocket()
		n.loopback.open(wrapped)
	}
	n.add(wrapped)
	return wrapped
}

// address is what a dialler calls it.
func (l *listener) address() string {
	if a := l.Addr(); a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return l.Addr().String()
}

// acceptSocket passes on what the socket accepts, one at a time, until the
// listener is closed.
func (l *listener) acceptSocket() {
	for {
		c, err := l.Listener.Accept()
		select {
		case l.arrived <- arrival{c, err}:
		case <-l.done:
			if err == nil {
				c.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (l *listener) Accept() (net.Conn, error) {
	if l.loopback == nil {
		return l.take(l.Listener.Accept())
	}
	select {
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	case a := <-l.arrived:
		return l.take(a.conn, a.err)
	case c := <-l.dialled:
		c.join(l.net)
		return c, nil
	}
}

func (l *listener) take(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, netError(err)
	}
	return l.net.wrap(c), nil
}

func (l *listener) Close() error {
	l.net.drop(l)
	if l.loopback != nil {
		l.once.Do(l.closeDialled)
	}
	return l.Listener.Close()
}

// closeDialled ends what nobody has accepted.
func (l *listener) closeDialled() {
	l.loopback.shut(l)
	close(l.done)
	for {
		select {
		case c := <-l.dialled:
			c.Close()
		default:
			return
		}
	}
}
