package proposer_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wire/http1"
	"xenon/realio"
)

const (
	segSize  = 1 << 20
	systemID = 7300000000000000001
)

var (
	ttid    = core.TTID{Tenant: core.TenantID{0xAA}, Timeline: core.TimelineID{0xBB}}
	server  = consensus.Server{PGVersion: 150018, SystemID: systemID, SegmentSize: segSize}
	format  = wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: systemID, TimelineID: 1}
	startAt = core.LSN(segSize + 40)
	quiet   = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// A cluster is safekeepers on real sockets and directories.
type cluster struct {
	t    testing.TB
	conf consensus.Configuration
	// through has other addresses that lead to the same safekeepers, if set.
	through consensus.Configuration
	dirs    []string
	nodes   []*node
}

type node struct {
	e    *realio.Env
	done chan error
}

func newCluster(t testing.TB, n int) *cluster {
	c := &cluster{t: t, conf: consensus.Configuration{Generation: 1}, nodes: make([]*node, n)}
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		p, _ := strconv.Atoi(port)
		c.conf.Members = append(c.conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: "127.0.0.1", Port: uint16(p)})
		c.dirs = append(c.dirs, t.TempDir())
	}
	for i := range n {
		c.start(i)
		body := safekeeper.NewCreation(ttid, c.conf, server, startAt, nil)
		if err := http1.Call(c.nodes[i].e.Context(), c.nodes[i].e, c.addr(i), "POST", "/v1/tenant/timeline", body, nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.kill(i)
		}
	})
	return c
}

func (c *cluster) addr(i int) string { return c.conf.Members[i].Addr() }

func (c *cluster) start(i int) {
	c.t.Helper()
	e := realio.New(realio.Options{Root: c.dirs[i], Log: quiet, Grace: time.Millisecond})
	cfg := safekeeper.Config{NodeID: c.conf.Members[i].ID, Limits: safekeeper.Limits{LowWaterBytes: -1}}
	sk, err := safekeeper.Open(e.Context(), e, cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	l, err := e.Net().Listen(e.Context(), c.addr(i))
	if err != nil {
		c.t.Fatal(err)
	}
	n := &node{e, make(chan error, 1)}
	go func() { n.done <- sk.Serve(e.Context(), l) }()
	c.nodes[i] = n
}

func (c *cluster) kill(i int) {
	n := c.nodes[i]
	if n == nil {
		return
	}
	c.nodes[i] = nil
	n.e.Stop(errors.New("killed"))
	<-n.done
	n.e.Close()
}

func (c *cluster) status(i int) (s safekeeper.TimelineStatus) {
	path := "/v1/tenant/" + ttid.Tenant.String() + "/timeline/" + ttid.Timeline.String()
	e := c.nodes[i].e
	if err := http1.Call(e.Context(), e, c.addr(i), "GET", path, nil, &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// level waits until safekeeper i has committed up to lsn.
func (c *cluster) level(i int, lsn core.LSN) {
	c.t.Helper()
	for range 3000 {
		if s := c.status(i); s.Commit >= lsn && s.Flush >= lsn {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s := c.status(i)
	c.t.Fatalf("safekeeper %d has flushed %s and committed %s, want %s", i+1, s.Flush, s.Commit, lsn)
}

// A compute is a proposer and the WAL it writes.
type compute struct {
	*proposer.Proposer
	t    testing.TB
	e    *realio.Env
	done chan error
	at   core.LSN
	enc  *wal.Encoder
	rand *rand.Rand
	log  []byte // from start on
}

func (c *cluster) compute(edit func(*proposer.Config)) *compute {
	c.t.Helper()
	e := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	cfg := proposer.Config{TTID: ttid, Members: c.conf, Server: server}
	if c.through.Generation != 0 {
		cfg.Members = c.through
	}
	if edit != nil {
		edit(&cfg)
	}
	p, err := proposer.New(e, cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	w := &compute{Proposer: p, t: c.t, e: e, done: make(chan error, 1)}
	go func() { w.done <- p.Run(e.Context()) }()
	c.t.Cleanup(w.stop)
	return w
}

func (w *compute) stop() {
	w.e.Stop(errors.New("stopped"))
	w.e.Close()
}

func (w *compute) ctx() context.Context { return w.e.Context() }

// elect waits for the election; prev is the last record before X.
func (w *compute) elect(prev core.LSN) proposer.Elected {
	w.t.Helper()
	x, err := w.Elect(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	w.at = x.Start
	w.enc = wal.NewEncoder(format, x.Start, prev)
	w.rand = rand.New(rand.NewPCG(uint64(x.Start), 1))
	return x
}

// write offers one record of about size bytes.
func (w *compute) write(size int) {
	w.t.Helper()
	main := make([]byte, size)
	for i := range main {
		main[i] = byte(w.rand.Uint32())
	}
	b, err := w.enc.Append(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: main})
	if err == nil {
		err = w.Offer(w.at, b)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.at += core.LSN(len(b))
	w.log = append(w.log, b...)
}

func (w *compute) commit() {
	w.t.Helper()
	if err := w.AwaitCommit(w.ctx(), w.at); err != nil {
		w.t.Fatal(err)
	}
}
