package compute_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"xenon/compute"
	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/core/wire/http1/http1test"
	"xenon/diskdrv"
	"xenon/netsim"
)

var (
	ttid   = core.TTID{Tenant: core.TenantID{0xAA}, Timeline: core.TimelineID{0xBB}}
	format = wal.Format{Version: wal.PG15, SegmentSize: 1 << 20, SystemID: 0x1234, TimelineID: 1}
	table  = core.Rel{Spc: core.DefaultTablespace, DB: 5, Node: 16384}
)

// blocks is the size of the one table there is.
const blocks = 6

// A cluster is three safekeepers, a pageserver, a bucket, and two hosts that
// may each run an endpoint of the one branch.
type cluster struct {
	w      *netsim.World
	rand   *rand.Rand
	bucket *diskdrv.Bucket
	conf   consensus.Configuration
	made   any // what the safekeepers' timeline was created with
	sks    []*netsim.Proc
	ps     *netsim.Proc
	hosts  [2]*computeHost
	ledger ledger // of main
}

// A line is a branch that endpoints run on.
type line struct {
	name   string
	id     core.TTID
	ledger *ledger
}

// A computeHost runs at most one endpoint at a time.
type computeHost struct {
	c    *cluster
	proc *netsim.Proc
	// takeover and idle are how its next endpoint behaves: idle servers only
	// read.
	takeover, idle bool
	// on is the branch that it runs, static the LSN if it is to be read-only.
	on     line
	static core.LSN

	// broken, if set, is why servers here do not start.
	broken error
	// order, if set, is done by the server between two commits; its error is
	// then in outcome.
	order   func(s *server) error
	outcome error

	ep     *compute.Endpoint // the newest
	server *server           // that it started last
	ended  error             // why the last endpoint ended, if it did
	acks   int
}

// newCluster makes a cluster whose timeline exists everywhere, and in which
// no endpoint runs.
func newCluster(seed uint64) (*cluster, error) {
	c := &cluster{w: netsim.New(netsim.Options{Seed: seed, Yields: 20, Wakes: 5})}
	c.rand = c.w.Rand("test")
	c.ledger.init()
	c.bucket = diskdrv.BucketIn(c.w, "bucket", diskdrv.BucketFaults{Latency: diskdrv.Delay{Base: time.Millisecond, Jitter: 4 * time.Millisecond}})
	c.conf.Generation = 1
	for i := range 3 {
		name := fmt.Sprintf("sk%d", i+1)
		c.conf.Members = append(c.conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: name, Port: 5454})
		c.sks = append(c.sks, c.process(name))
		c.startSK(i)
	}
	c.ps = c.process("ps")
	c.startPS()
	for i := range c.hosts {
		c.hosts[i] = &computeHost{c: c, proc: c.process(fmt.Sprintf("host%d", i+1)), on: line{"main", ttid, &c.ledger}}
	}
	return c, c.process("operator").Do(time.Minute, c.create)
}

// process makes a machine with a disk that sees the bucket.
func (c *cluster) process(name string) *netsim.Proc {
	return c.w.Proc(name, netsim.ProcOptions{
		Disk:    diskdrv.DiskIn(c.w, name, 0, diskdrv.Faults{}),
		Objects: func(e env.Env) env.ObjectStore { return c.bucket.Objects(e, name) },
	})
}

const psAddr = "ps:6400"

func (c *cluster) startPS() {
	c.ps.Start(func(ctx context.Context, e env.Env) error {
		return pageserver.Run(ctx, e, pageserver.Config{ID: 7, Listen: psAddr, MemoryBytes: 1})
	})
}

func (c *cluster) startSK(i int) {
	cfg := safekeeper.Config{NodeID: c.conf.Members[i].ID, Listen: c.conf.Members[i].Addr(), Limits: safekeeper.Limits{LowWaterBytes: -1}}
	c.sks[i].Start(func(ctx context.Context, e env.Env) error { return safekeeper.Run(ctx, e, cfg) })
}

func identity() consensus.Server {
	return consensus.Server{PGVersion: 150018, SystemID: format.SystemID, SegmentSize: format.SegmentSize}
}

// create imports a blank cluster and makes its timeline everywhere.
func (c *cluster) create(ctx context.Context, e env.Env) error {
	im, err := pageserver.ImportBlank(ctx, e, e.FS(), pageserver.Blank{
		SystemID: format.SystemID, LSN: core.LSN(format.SegmentSize) + 4096, SegmentSize: format.SegmentSize,
		Rels: []pageserver.BlankRel{{Node: table.Node, Blocks: blocks}},
	}, ttid)
	if err != nil {
		return err
	}
	req := pageserver.AttachRequest{Timeline: ttid.Timeline}
	for _, m := range c.conf.Members {
		c.made = safekeeper.NewCreation(ttid, c.conf, identity(), im.Index.LSN, im.WAL)
		if err := http1test.Insist(ctx, e, m.Addr(), "/v1/tenant/timeline", c.made); err != nil {
			return err
		}
		req.Safekeepers = append(req.Safekeepers, m.Addr())
	}
	return http1test.Insist(ctx, e, psAddr, "/v1/tenant/"+ttid.Tenant.String()+"/timeline", req)
}

// start runs an endpoint on the host.
func (h *computeHost) start() {
	h.ep, h.server, h.ended = nil, nil, nil
	h.proc.Start(func(ctx context.Context, e env.Env) error {
		h.ep = compute.New(e, &host{h, e}, compute.Config{
			Branch: h.on.name, TTID: h.on.id, Owner: h.proc.Name(), Takeover: h.takeover, Pageserver: psAddr, Scratch: "scratch",
			Static: h.static, Quorum: proposer.Config{TTID: h.on.id, Members: h.c.conf, Server: identity()},
			Files: []bootset.File{{Path: "pg_hba.conf", Content: []byte("local all all trust\n")}},
		})
		err := h.ep.Run(ctx)
		h.ended = err
		return err
	})
}

// status is what the endpoint of the host says, if one runs.
func (h *computeHost) status() compute.Status {
	if h.ep == nil {
		return compute.Status{}
	}
	return h.ep.Status()
}

func (h *computeHost) ready() bool { return h.status().State == compute.Ready }

// The tests of one life, as told to [testing.T].
type life struct {
	*cluster
	t *testing.T
}

func newLife(t *testing.T, seed uint64) *life {
	t.Helper()
	c, err := newCluster(seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.w.Close(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return &life{c, t}
}

// until runs the world until cond holds, for limit at most.
func (l *life) until(what string, limit time.Duration, cond func() bool) {
	l.t.Helper()
	if err := l.w.Run(limit, cond); err != nil {
		l.t.Fatalf("%s: %v\nhost1 %+v\nhost2 %+v", what, err, l.hosts[0].status(), l.hosts[1].status())
	}
}

// pass runs the world for a while.
func (l *life) pass(d time.Duration) {
	l.t.Helper()
	if err := l.w.Run(d, nil); err != nil {
		l.t.Fatal(err)
	}
}

// working starts an endpoint and waits until it has acknowledged commits.
func (l *life) working(h *computeHost) {
	l.t.Helper()
	h.start()
	l.until("start", time.Minute, h.ready)
	l.commits(5)
}

// commits waits for n more acknowledged commits.
func (l *life) commits(n int) {
	l.t.Helper()
	want := l.ledger.commits + n
	l.until("commits", time.Minute, func() bool { return l.ledger.commits >= want })
}

// order has the host's server do something, and returns its error.
func (l *life) order(h *computeHost, f func(s *server) error) error {
	l.t.Helper()
	h.order = f
	l.until("order", time.Minute, func() bool { return h.order == nil })
	return h.outcome
}

// in runs f on a machine of its own.
func (l *life) in(f netsim.Main) {
	l.t.Helper()
	p := l.w.Find("client")
	if p == nil {
		p = l.process("client")
	}
	if err := p.Do(time.Minute, f); err != nil {
		l.t.Fatal(err)
	}
}

// stopped waits for the end of a host's endpoint and returns the time it took.
func (l *life) stopped(h *computeHost, limit time.Duration) time.Duration {
	l.t.Helper()
	from := l.w.Elapsed()
	l.until("end", limit, func() bool { return !h.proc.Running() })
	return l.w.Elapsed() - from
}

// A ledger is what the servers' clients know: no server may read anything
// older than what was acknowledged before it was elected, or what nobody wrote.
type ledger struct {
	next    uint64
	acked   map[uint32]map[core.Term]uint64 // by block and the term of who acknowledged
	tried   map[uint32][]uint64
	written []written // in the order of the WAL
	commits int
	reads   int
}

// written is a value and where the record ends that has it.
type written struct {
	blk   uint32
	value uint64
	end   core.LSN
}

// at is the ledger of a branch that begins at an LSN: it has exactly the
// records that end there or before.
func (g *ledger) at(lsn core.LSN) *ledger {
	b := &ledger{next: g.next}
	b.init()
	for _, w := range g.written {
		if w.end <= lsn {
			b.tried[w.blk] = []uint64{w.value}
			b.acked[w.blk] = map[core.Term]uint64{0: w.value}
			b.written = append(b.written, w)
		}
	}
	return b
}

func (g *ledger) init() {
	g.acked, g.tried = map[uint32]map[core.Term]uint64{}, map[uint32][]uint64{}
}

// try makes up a value that is about to be written.
func (g *ledger) try(blk uint32) uint64 {
	g.next++
	g.tried[blk] = append(g.tried[blk], g.next)
	return g.next
}

func (g *ledger) ack(blk uint32, v uint64, term core.Term) {
	if g.acked[blk] == nil {
		g.acked[blk] = map[core.Term]uint64{}
	}
	g.acked[blk][term] = v
	g.commits++
}

// check judges what a server of a term reads.
func (g *ledger) check(blk uint32, v uint64, term core.Term) error {
	g.reads++
	for t, acked := range g.acked[blk] {
		if t <= term && v < acked {
			return fmt.Errorf("block %d reads %d in term %d; %d was acknowledged in term %d", blk, v, term, acked, t)
		}
	}
	if v != 0 && !slices.Contains(g.tried[blk], v) {
		return fmt.Errorf("block %d reads %d, which nobody wrote", blk, v)
	}
	return nil
}

var errBroken = errors.New("no such binary")
