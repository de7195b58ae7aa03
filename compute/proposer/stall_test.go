package proposer_test

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/core"
)

// A link carries bytes to one safekeeper and back until it is stalled: then
// both ends are connected and nothing arrives, as when a process is stopped or
// a network is cut without a word.
type link struct {
	l       net.Listener
	mu      sync.Mutex
	cond    *sync.Cond
	stalled bool
	target  string
	conns   []net.Conn
}

func newLink(t testing.TB, target string) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{l: l, target: target}
	k.cond = sync.NewCond(&k.mu)
	go k.accept()
	t.Cleanup(func() {
		l.Close()
		k.stall(false)
		k.cut()
	})
	return k
}

func (k *link) accept() {
	for {
		c, err := k.l.Accept()
		if err != nil {
			return
		}
		d, err := net.Dial("tcp", k.target)
		if err != nil {
			c.Close()
			continue
		}
		k.mu.Lock()
		k.conns = append(k.conns, c, d)
		k.mu.Unlock()
		go k.carry(c, d)
		go k.carry(d, c)
	}
}

func (k *link) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		k.mu.Lock()
		for k.stalled {
			k.cond.Wait()
		}
		k.mu.Unlock()
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		k.mu.Lock()
		for k.stalled {
			k.cond.Wait()
		}
		k.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (k *link) stall(on bool) {
	k.mu.Lock()
	k.stalled = on
	k.cond.Broadcast()
	k.mu.Unlock()
}

// cut breaks every connection that goes through.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		c.Close()
	}
	k.conns = nil
}

// linked makes a cluster whose safekeepers are reached through links.
func linked(t testing.TB) (*cluster, []*link) {
	c := newCluster(t, 3)
	links := make([]*link, 3)
	conf := consensus.Configuration{Generation: 1}
	for i := range links {
		links[i] = newLink(t, c.addr(i))
		_, port, _ := net.SplitHostPort(links[i].l.Addr().String())
		p, _ := strconv.Atoi(port)
		conf.Members = append(conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: "127.0.0.1", Port: uint16(p)})
	}
	c.through = conf
	return c, links
}

// working is a linked cluster with a compute that has committed something.
func working(t testing.TB) (*cluster, []*link, *compute) {
	c, links := linked(t)
	w := c.compute(nil)
	w.elect(0)
	w.write(100)
	w.commit()
	return c, links, w
}

// A safekeeper that does not read must hold up neither offers nor commits.
func TestStalledMinority(t *testing.T) {
	c, links, w := working(t)
	links[0].stall(true)
	for range 100 {
		w.write(500)
		w.commit()
	}
	for range 40 {
		w.write(100_000) // far beyond what sockets take
		w.commit()
	}
	links[0].stall(false)
	c.level(0, w.at)
}

// Without a quorum nothing is committed, no offer waits, and all of it commits
// once a quorum is back.
func TestStalledMajority(t *testing.T) {
	c, links, w := working(t)
	links[0].stall(true)
	links[1].stall(true)
	before := w.Committed()
	for range 40 {
		w.write(100_000)
	}
	time.Sleep(50 * time.Millisecond)
	if w.Committed() != before {
		t.Fatalf("a minority committed %s after %s", w.Committed(), before)
	}
	links[1].stall(false)
	w.commit()
	links[0].stall(false)
	c.level(0, w.at)
}

// Connections break again and again at all ends while commits go on.
func TestCutConnections(t *testing.T) {
	c, links := linked(t)
	w := c.compute(nil)
	w.elect(0)
	for i := range 60 {
		w.write(3000)
		if i%3 == 0 {
			links[i/3%3].cut()
		}
		w.write(70_000)
		w.commit()
	}
	for i := range links {
		c.level(i, w.at)
	}
}

// A proposer that is cut off from all is superseded without knowing it; what it
// offers meanwhile is committed nowhere, and it learns once it is back.
func TestZombieCommitsNothing(t *testing.T) {
	c, links := linked(t)
	old := c.compute(nil)
	old.elect(0)
	old.write(500)
	old.commit()
	last := old.at
	for _, l := range links {
		l.stall(true)
	}
	old.write(5000)
	c.through = consensus.Configuration{} // the newer one has links of its own
	young := c.compute(nil)
	if y := young.elect(startAt); y.Start < last {
		t.Fatalf("the newer log begins at %s, committed was %s", y.Start, last)
	}
	young.write(700)
	young.commit()
	for _, l := range links {
		l.stall(false)
	}
	if err := <-old.done; err == nil || old.Committed() > last {
		t.Fatalf("the older proposer committed %s after %s and ended with %v", old.Committed(), last, err)
	}
	for i := range links {
		c.level(i, young.at)
	}
}
