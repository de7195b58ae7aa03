package safekeeper_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/realio"
)

const (
	segSize  = 1 << 20
	systemID = 7300000000000000001
	me       = core.NodeID(1)
)

var (
	ttid = core.TTID{Tenant: core.TenantID{0xAA}, Timeline: core.TimelineID{0xBB}}
	pg   = consensus.Server{PGVersion: 150018, SystemID: systemID, SegmentSize: segSize}
	conf = consensus.Configuration{Generation: 1, Members: []consensus.Member{
		{ID: 1, Host: "sk1", Port: 1}, {ID: 2, Host: "sk2", Port: 1}, {ID: 3, Host: "sk3", Port: 1}}}
	format  = wal.Format{Version: wal.PG15, SegmentSize: segSize, SystemID: systemID, TimelineID: 1}
	startAt = core.LSN(segSize + 40)
)

// onDisk is a production process whose disk is simulated: real tasks and
// connections, and crashes.
type onDisk struct {
	*realio.Env
	fs env.FS
}

func (e onDisk) FS() env.FS { return e.fs }

func newDisk(seed uint64) *diskdrv.Disk {
	return diskdrv.NewDisk(diskdrv.DiskOptions{Rand: rand.New(rand.NewPCG(seed, 7))})
}

// A rig is one running safekeeper.
type rig struct {
	t    testing.TB
	e    env.Env
	real *realio.Env
	node *safekeeper.Node
	addr string
	done chan error
	down bool
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// start boots a safekeeper on a disk; the test fails if it does not come up.
func start(t testing.TB, disk *diskdrv.Disk, limits safekeeper.Limits) *rig {
	t.Helper()
	real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	return boot(t, real, onDisk{real, disk.FS(nil)}, limits)
}

func boot(t testing.TB, real *realio.Env, e env.Env, limits safekeeper.Limits) *rig {
	t.Helper()
	r, err := bootAs(t, real, e, safekeeper.Config{NodeID: me, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func bootAs(t testing.TB, real *realio.Env, e env.Env, cfg safekeeper.Config) (*rig, error) {
	t.Helper()
	node, err := safekeeper.Open(real.Context(), e, cfg)
	if err != nil {
		real.Close()
		return nil, err
	}
	l, err := e.Net().Listen(real.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, e: e, real: real, node: node, addr: l.Addr().String(), done: make(chan error, 1)}
	go func() { r.done <- node.Serve(real.Context(), l) }()
	t.Cleanup(r.stop)
	return r, nil
}

// stop ends the process without a word to its disk, as a kill does.
func (r *rig) stop() {
	if r.down {
		return
	}
	r.down = true
	r.real.Stop(errors.New("killed"))
	<-r.done
	r.real.Close()
}

func (r *rig) create(start core.LSN, initial []byte) error {
	body := safekeeper.NewCreation(ttid, conf, pg, start, initial)
	return http1.Call(r.real.Context(), r.e, r.addr, "POST", "/v1/tenant/timeline", body, nil)
}

func (r *rig) mustCreate() {
	r.t.Helper()
	if err := r.create(startAt, nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) status() (s safekeeper.TimelineStatus) {
	r.t.Helper()
	path := "/v1/tenant/" + ttid.Tenant.String() + "/timeline/" + ttid.Timeline.String()
	if err := http1.Call(r.real.Context(), r.e, r.addr, "GET", path, nil, &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// A proposer is the other end of START_WAL_PUSH, one step at a time.
type proposer struct {
	t testing.TB
	c *wire.Client
}

func (r *rig) push() *proposer {
	r.t.Helper()
	c := r.connect(wire.ClientConfig{TTID: ttid})
	if err := c.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')"); err != nil {
		r.t.Fatal(err)
	}
	return &proposer{r.t, c}
}

func (r *rig) connect(cfg wire.ClientConfig) *wire.Client {
	r.t.Helper()
	c, err := wire.Connect(r.real.Context(), r.e, r.addr, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func (p *proposer) send(b, wal []byte) {
	p.c.CopyData(b, wal)
	p.c.Flush()
}

func (p *proposer) receive() (m wire.AcceptorMessage, err error) {
	body, err := p.c.ReadCopy()
	if err == nil {
		err = wire.DecodeAcceptor(body, &m)
	}
	return m, err
}

func (p *proposer) mustReceive() wire.AcceptorMessage {
	p.t.Helper()
	m, err := p.receive()
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *proposer) greet() *consensus.AcceptorGreeting {
	p.t.Helper()
	p.sendGreeting(pg)
	return p.mustReceive().Greeting
}

func (p *proposer) sendGreeting(s consensus.Server) {
	p.send(wire.AppendProposerGreeting(nil, &consensus.ProposerGreeting{TTID: ttid, Config: conf, Server: s}), nil)
}

func (p *proposer) vote(term core.Term) *consensus.VoteResponse {
	p.t.Helper()
	p.send(wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: term}), nil)
	return p.mustReceive().Vote
}

func (p *proposer) elect(term core.Term, start core.LSN, h consensus.History) {
	p.send(wire.AppendProposerElected(nil, &consensus.ProposerElected{Generation: 1, Term: term, Start: start, History: h}), nil)
}

func (p *proposer) sendAppend(term core.Term, begin core.LSN, wal []byte, commit core.LSN) {
	m := consensus.AppendRequest{Generation: 1, Term: term, Begin: begin, End: begin + core.LSN(len(wal)), Commit: commit}
	p.send(wire.AppendAppendRequest(nil, &m), wal)
}

func (p *proposer) append(term core.Term, begin core.LSN, wal []byte, commit core.LSN) (consensus.AppendResponse, error) {
	p.sendAppend(term, begin, wal, commit)
	m, err := p.receive()
	return m.Append, err
}

// lead goes through an election alone and returns where WAL is to begin.
func (p *proposer) lead(term core.Term) core.LSN {
	p.t.Helper()
	p.greet()
	v := p.vote(term)
	if !v.Granted {
		p.t.Fatalf("no vote for term %d: %+v", term, v)
	}
	p.elect(term, v.Flush, v.History.With(consensus.TermSwitch{Term: term, LSN: v.Flush}))
	return v.Flush
}

// A walMaker makes WAL that PostgreSQL would read.
type walMaker struct {
	enc  *wal.Encoder
	rand *rand.Rand
}

func newWAL(at, prev core.LSN) *walMaker {
	return &walMaker{wal.NewEncoder(format, at, prev), rand.New(rand.NewPCG(uint64(at), 1))}
}

// records makes n records with up to size bytes of data each.
func (w *walMaker) records(n, size int) []byte {
	var out []byte
	for range n {
		main := make([]byte, 1+w.rand.IntN(size))
		for i := range main {
			main[i] = byte(w.rand.Uint32())
		}
		var err error
		if out, err = w.enc.Append(out, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: main}); err != nil {
			panic(err)
		}
	}
	return out
}

// readWAL reads what a replication client gets from start to end.
func (r *rig) readWAL(sql string, cfg wire.ClientConfig, n int) ([]byte, error) {
	cfg.TTID = ttid
	c := r.connect(cfg)
	defer c.Close()
	if err := c.CopyBoth(sql); err != nil {
		return nil, err
	}
	var got []byte
	for len(got) < n {
		body, err := c.ReadCopy()
		if err != nil {
			return got, err
		}
		m, err := wire.DecodeStream(body)
		if err != nil {
			return got, err
		}
		if m.Kind == wire.MsgXLogData {
			got = append(got, m.Data.WAL...)
		}
	}
	return got, nil
}

func startReplication(at core.LSN) string { return fmt.Sprintf("START_REPLICATION PHYSICAL %s", at) }

func historyOf(t1 core.Term, l1 core.LSN, t2 core.Term, l2 core.LSN) consensus.History {
	return consensus.History{{Term: t1, LSN: l1}, {Term: t2, LSN: l2}}
}
