package fuzz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"xenon/compute"
	"xenon/compute/crosscheck"
	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/fuzz/standin"
	"xenon/netsim"
)

const branch = "main"

// A Topology is how many processes of each kind there are.
type Topology struct {
	Safekeepers int `json:"safekeepers"`
	Pageservers int `json:"pageservers"`
	// Computes are those of the first branch; every other has one.
	Computes int `json:"computes"`
}

// usual is the topology of most runs, and of plans from before there were any.
var usual = Topology{Safekeepers: 3, Pageservers: 2, Computes: 2}

// most is what a cluster can have.
var most = Topology{Safekeepers: 7, Pageservers: 4, Computes: 3}

// A node is a process with its disk.
type node struct {
	*netsim.Proc
	disk  *diskdrv.Disk
	start func()
	// down keeps the supervisor from starting it, retired everybody.
	down    bool
	retired bool
	wiped   bool // it has lost its disk, once at least
	failed  int  // operations of the disk that ended with an error
	done    int  // operations of the disk
}

// A seat is a process that runs the endpoint of a branch.
type seat struct {
	*node
	line     *line
	endpoint *compute.Endpoint // of the incarnation that runs
	takeover bool              // what the next start is to do
	asks     *node             // the pageserver that it was told of at its start
}

// A cluster is an installation in a world of its own.
type cluster struct {
	w      *netsim.World
	blank  *blank
	conf   consensus.Configuration
	bucket *diskdrv.Bucket
	rush   rush
	listed uint64 // values appended to lists, of all branches

	sks      []*node
	reserve  []*node // safekeepers that are no members of anything yet
	pss      []*node
	rivals   int   // computes of the first branch
	owner    int   // which pageserver everybody is told to ask
	told     int   // how often that pageserver must have been told what it serves
	attached error // what the last attempt to tell it came to
	statics  int   // read-only servers so far
	fenced   int   // endpoints that ended since another one had taken over
	// reshaping counts who makes branches or changes members at the moment.
	reshaping int
	servers   []*seat // the first ones are those of the first branch

	load load
	// busy is when clients are, length how long faults go on, both from began on.
	busy          []Stretch
	began, length time.Duration
	// lines is every timeline that there is, parents first.
	lines func() []*line
	// endpoints are all that ever ran.
	endpoints []*compute.Endpoint
	// mismatched is told of a page that a seat's server wrote and redo makes
	// differently.
	mismatched func(*seat, *crosscheck.Mismatch)
	// options is what the servers of a seat do.
	options func(*seat) standin.Options
}

// newCluster makes the processes; none runs yet.
func newCluster(w *netsim.World, b *blank, p *Plan) *cluster {
	l, t := p.Load, p.Topology
	c := &cluster{w: w, blank: b, load: l, sks: make([]*node, t.Safekeepers), pss: make([]*node, t.Pageservers), busy: p.Busy, length: p.Length, rivals: t.Computes, bucket: diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{Latency: quickBucket})}
	c.conf.Generation = 1
	for i := range c.sks {
		c.conf.Members = append(c.conf.Members, memberOf(i))
		c.sks[i] = c.keeper(i, l)
	}
	if p.moves() {
		for i := range reserves {
			c.reserve = append(c.reserve, c.keeper(t.Safekeepers+i, l))
		}
	}
	for i := range c.pss {
		name := fmt.Sprintf("ps%d", i+1)
		c.pss[i] = c.node(name, func(ctx context.Context, e env.Env) error {
			return pageserver.Run(ctx, e, pageserver.Config{
				ID: core.NodeID(i + 1), Listen: addrOf(name), CacheBytes: 4 << 20, MemoryBytes: l.Memory, WaitLSNSeconds: 20,
				CheckpointDistance: l.Distance, CheckpointTimeoutSeconds: 2,
			})
		})
	}
	return c
}

// keeper makes the process of a safekeeper.
func (c *cluster) keeper(i int, l load) *node {
	m := memberOf(i)
	return c.node(m.Host, func(ctx context.Context, e env.Env) error {
		return safekeeper.Run(ctx, e, safekeeper.Config{
			NodeID: m.ID, Listen: m.Addr(),
			Limits: safekeeper.Limits{LowWaterBytes: -1, MaxTimelineBytes: l.WALLimit, WALHoldSeconds: 1},
			Backup: safekeeper.Backup{PartialSeconds: 2, IdleSeconds: l.Idle},
		})
	})
}

// keeperNode is a safekeeper by its name.
func (c *cluster) keeperNode(name string) *node {
	all := slices.Concat(c.sks, c.reserve)
	return all[slices.IndexFunc(all, func(n *node) bool { return n.Name() == name })]
}

// memberOf is a safekeeper by its place.
func memberOf(i int) consensus.Member {
	return consensus.Member{ID: core.NodeID(i + 1), Host: fmt.Sprintf("sk%d", i+1), Port: 5454}
}

// addrOf is where a pageserver listens.
func addrOf(name string) string { return name + ":6400" }

// ps is the pageserver that everybody is told to ask.
func (c *cluster) ps() *node { return c.pss[c.owner] }

// spare is a pageserver that nobody is told to ask, or -1 if there is none.
func (c *cluster) spare(which int) int {
	if len(c.pss) == 1 {
		return -1
	}
	return (c.owner + 1 + which%(len(c.pss)-1)) % len(c.pss)
}

// rival is a compute of the first branch other than one, or nil.
func (c *cluster) rival(of *seat, which int) *seat {
	others := slices.DeleteFunc(slices.Clone(c.servers[:c.rivals]), func(s *seat) bool { return s == of })
	if len(others) == 0 {
		return nil
	}
	return others[which%len(others)]
}

// seat makes the process of an endpoint; it does not run yet.
func (c *cluster) seat(l *line) *seat {
	s := &seat{line: l}
	s.node = c.node(fmt.Sprintf("compute%d", len(c.servers)+1), func(ctx context.Context, e env.Env) error { return c.compute(ctx, e, s) })
	c.servers = append(c.servers, s)
	return s
}

var (
	quickBucket = diskdrv.Delay{Base: 2 * time.Millisecond, Jitter: 8 * time.Millisecond}
	quickDisk   = diskdrv.Faults{Write: diskdrv.Delay{Jitter: 40 * time.Microsecond},
		Sync: diskdrv.Delay{Base: 300 * time.Microsecond, Jitter: 2 * time.Millisecond}}
)

// node makes a process on a host of its own.
func (c *cluster) node(name string, main netsim.Main) *node {
	n := &node{down: true}
	n.disk = diskdrv.NewDisk(diskdrv.DiskOptions{
		Rand: c.w.Rand("disk " + name), Faults: quickDisk,
		Note: func(o diskdrv.Op, data []byte) {
			if n.done++; o.Err != nil {
				n.failed++
				c.w.Show("disk.error", name, o.Err.Error(), 0, 0)
			}
			c.w.Note(o.Kind, name+":"+o.Name+o.To, uint64(o.Off), uint64(o.Len), data)
		},
	})
	n.Proc = c.w.Proc(name, netsim.ProcOptions{
		Disk: n.disk,
		Exit: func(_ *netsim.Proc, err error) {
			// Whoever was superseded does not come back by itself.
			n.down = errors.Is(err, compute.ErrSuperseded) || errors.Is(err, compute.ErrNotOwner)
			if errors.Is(err, compute.ErrSuperseded) {
				c.fenced++
			}
		},
		Objects: func(e env.Env) env.ObjectStore { return c.bucket.Objects(e, name) },
	})
	n.start = func() {
		if n.retired {
			return
		}
		n.down = false
		if !n.Running() {
			n.Start(main)
		}
	}
	return n
}

// retire ends a process for good.
func (n *node) retire() {
	n.down, n.retired = true, true
	n.Kill()
}

// compute is one incarnation of a compute's process: it runs an endpoint until
// somebody else takes the branch over.
func (c *cluster) compute(ctx context.Context, e env.Env, s *seat) error {
	takeover := s.takeover
	s.takeover, s.asks = false, c.ps()
	s.endpoint = compute.New(e, standin.NewHost(e, c.options(s)), compute.Config{
		Branch: s.line.name, TTID: s.line.id, Pageserver: addrOf(s.asks.Name()), Owner: s.Name(), Takeover: takeover, Scratch: "scratch", Reads: c.load.Reads,
		Quorum: proposer.Config{TTID: s.line.id, Members: c.conf, Lookup: len(c.reserve) > 0, Server: server, BufferBytes: c.load.Buffer, DirectBytes: c.load.Direct},
		CrossCheck: crosscheck.Config{
			Rate: float64(c.load.CrossCheck) / 100, Dir: "crosscheck", Found: func(m *crosscheck.Mismatch) { c.mismatched(s, m) },
		},
	})
	c.endpoints = append(c.endpoints, s.endpoint)
	return s.endpoint.Run(ctx)
}

// setUp starts the storage and makes the timeline on it.
func (c *cluster) setUp() error {
	admin := c.w.Proc("admin", netsim.ProcOptions{
		Objects: func(e env.Env) env.ObjectStore { return c.bucket.Objects(e, "admin") },
	})
	for _, n := range append(slices.Clone(c.sks), c.reserve...) {
		n.start()
	}
	c.ps().start()
	return admin.Do(time.Minute, func(ctx context.Context, e env.Env) error {
		if err := c.blank.fill(ctx, e.Objects()); err != nil {
			return err
		}
		if err := c.enter(ctx, e, ttid); err != nil {
			return err
		}
		for _, m := range c.conf.Members {
			body := safekeeper.NewCreation(ttid, c.conf, server, c.blank.im.Index.LSN, c.blank.initial())
			if err := patiently(ctx, e, func() error {
				return http1.Call(ctx, e, m.Addr(), "POST", safekeeper.RouteTo(m.ID, "/v1/tenant/timeline"), body, nil)
			}); err != nil {
				return err
			}
		}
		return c.attach(ctx, e)
	})
}

// attach tells the pageserver what it serves, parents first, and again if it
// was wiped meanwhile, or if it is another one by now.
func (c *cluster) attach(ctx context.Context, e env.Env) error {
	for {
		told, err := c.told, error(nil)
		for _, l := range c.lines() {
			if err = c.attachOnce(ctx, e, l, told); err != nil && !l.going && !l.gone {
				break
			}
		}
		if told == c.told {
			return err
		}
	}
}

// attachOnce tells of one timeline, unless the pageserver must be told of
// everything again by now.
func (c *cluster) attachOnce(ctx context.Context, e env.Env, l *line, told int) error {
	req := c.attachRequest(l)
	return patiently(ctx, e, func() error {
		if told != c.told || l.gone {
			return nil
		}
		c.attached = http1.Call(ctx, e, addrOf(c.ps().Name()), "POST", timelinesPath(l.id), req, nil)
		if refused(c.attached, http.StatusConflict) && l.parent != nil { // the other one has taken its parent meanwhile
			http1.Call(ctx, e, addrOf(c.ps().Name()), "POST", timelinesPath(l.id), c.attachRequest(l.parent), nil)
		}
		return c.attached
	})
}

// tell has somebody tell the pageserver what it serves.
func (c *cluster) tell() {
	c.told++
	if admin := c.w.Find("admin"); !admin.Running() {
		admin.Start(c.attach)
	}
}

// reclaim has somebody look at the status of the pageserver that everybody asks,
// and tell it again to serve what the other one, started anew, has taken from it.
func (c *cluster) reclaim() {
	operator := c.w.Find("operator")
	if operator == nil {
		operator = c.w.Proc("operator", netsim.ProcOptions{})
	}
	if operator.Running() {
		return
	}
	operator.Start(func(ctx context.Context, e env.Env) error {
		addr := addrOf(c.ps().Name())
		for _, l := range c.lines() {
			info, err := timelineInfo(ctx, e, addr, l.id)
			if err == nil && info.Superseded { // else, and if it fails, it is looked at again
				http1.Call(ctx, e, addr, "POST", timelinesPath(l.id), c.attachRequest(l), nil)
			}
		}
		return nil
	})
}

// patiently tries again while a process is not up yet.
func patiently(ctx context.Context, e env.Env, f func() error) error {
	for {
		err := f()
		if err == nil || refused(err, http.StatusBadRequest, http.StatusGone) {
			return err
		}
		if err := e.Clock().Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// nodes is every process that faults befall.
func (c *cluster) nodes() []*node {
	all := append([]*node{}, c.sks...)
	all = append(all, c.reserve...)
	all = append(all, c.pss...)
	return append(all, c.processes()...)
}

// seated tells whether a branch has somebody to run its server: not if all have
// ended since others took over.
func (c *cluster) seated(l *line) bool {
	return slices.ContainsFunc(c.servers, func(s *seat) bool { return s.line == l && !s.retired && (s.Running() || !s.down) })
}

// served tells whether a branch has somebody to run its server, who asks a
// pageserver that was told to serve it. A call that tells it so waits for a
// minute if the other end of its connection vanished (core/wire/http1).
func (c *cluster) served(l *line) bool {
	misled := func(s *seat) bool { return s.line == l && s.Running() && s.asks != c.ps() }
	return c.seated(l) && !c.w.Find("admin").Running() && !slices.ContainsFunc(c.servers, misled)
}

// atIt tells what the computes of a branch are at.
func (c *cluster) atIt(l *line) string {
	var list []string
	for _, s := range c.servers {
		switch {
		case s.line != l:
		case s.endpoint == nil || !s.Running():
			list = append(list, fmt.Sprintf("%s is not running (wanted: %v)", s.Name(), !s.down))
		default:
			st := s.endpoint.Status()
			list = append(list, fmt.Sprintf("%s is %s (%s)", s.Name(), st.State, st.Note))
		}
	}
	return strings.Join(list, ", ")
}

// processes are those of all endpoints.
func (c *cluster) processes() (all []*node) {
	for _, s := range c.servers {
		all = append(all, s.node)
	}
	return all
}

// victim is whom a step befalls: another node more or less among those that
// there are seldom makes it another one.
func victim(which int, among []*node) *node {
	rank := func(x *node) uint64 { return netsim.Stream(uint64(which), x.Name()).Uint64() }
	return slices.MaxFunc(among, func(a, b *node) int { return cmp.Compare(rank(a), rank(b)) })
}
