package boot_test

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"xenon/compute/boot"
	"xenon/compute/overlay"
	"xenon/compute/proposer"
	"xenon/compute/vfs"
	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/core/wire/http1/http1test"
	"xenon/diskdrv"
	"xenon/netsim"
)

var (
	ttid    = core.TTID{Tenant: core.TenantID{0xAA}, Timeline: core.TimelineID{0xBB}}
	control = goldenControl()
	format  = control.Format()
	startAt = core.LSN(3*uint64(format.SegmentSize) + wal.LongHeaderSize)
)

// goldenControl is the control file of a real cluster.
func goldenControl() *wal.Control { return controlIn("golden") }

// controlIn is the control file in one of core/wal's golden files.
func controlIn(name string) *wal.Control {
	f, err := os.Open("../../core/wal/testdata/" + name + ".json.gz")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	var golden struct{ Control []byte }
	if err := json.NewDecoder(z).Decode(&golden); err != nil {
		panic(err)
	}
	ctl, err := wal.DecodeControl(golden.Control)
	if err != nil {
		panic(err)
	}
	return ctl
}

// A history is a timeline made of records that each set a block to a value:
// the reference that a pageserver stands in for.
type history struct {
	values map[uint32]uint64   // by block
	lsns   map[uint32]core.LSN // end of the record that set it
	prev   core.LSN
}

// replay reads a log from startAt to x.
func replay(log []byte, x core.LSN) (*history, error) {
	h := &history{values: map[uint32]uint64{}, lsns: map[uint32]core.LSN{}}
	d := wal.NewDecoder(format, startAt, 0)
	if err := d.Feed(startAt, log); err != nil {
		return nil, err
	}
	end := startAt
	for {
		rec, ok, err := d.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		end, h.prev = rec.End, rec.Start
		if rec.Op() == wal.XLOGNoop {
			blk, v := binary.LittleEndian.Uint32(rec.Main), binary.LittleEndian.Uint64(rec.Main[4:])
			h.values[blk], h.lsns[blk] = v, rec.End
		}
	}
	if end != x {
		return nil, fmt.Errorf("the log up to %s ends at %s", x, end)
	}
	return h, nil
}

// blocks is the size of the one relation there is.
const blocks = 12

var table = core.Rel{Spc: core.DefaultTablespace, DB: 5, Node: 16384}

const tablePath = "base/5/16384"

// pageOf is a page as redo makes it.
func pageOf(v uint64, lsn core.LSN) []byte {
	b := make([]byte, core.PageSize)
	binary.LittleEndian.PutUint32(b, uint32(lsn>>32))
	binary.LittleEndian.PutUint32(b[4:], uint32(lsn))
	binary.LittleEndian.PutUint64(b[24:], v)
	return b
}

func valueOf(page []byte) uint64 { return binary.LittleEndian.Uint64(page[24:]) }

// A source serves a history as of X.
type source struct {
	e env.Env
	h *history
}

func (s source) Relations(context.Context, bootset.Database) ([]bootset.Relation, error) {
	return []bootset.Relation{{Rel: table, Blocks: blocks}}, nil
}

func (s source) ReadPages(ctx context.Context, r core.Rel, first uint32, dst []byte) error {
	for i := range uint32(len(dst) / core.PageSize) {
		copy(dst[i*core.PageSize:], pageOf(s.h.values[first+i], s.h.lsns[first+i]))
	}
	return s.e.Clock().Sleep(ctx, time.Millisecond)
}

func (s source) SLRUSegment(context.Context, core.SLRU, uint32) ([]byte, error) {
	return nil, errors.New("no SLRU here")
}

// A sim is three safekeepers and two hosts that run servers of one branch,
// sometimes both at once.
type sim struct {
	w     *netsim.World
	rand  *rand.Rand
	conf  consensus.Configuration
	sks   []*netsim.Proc
	hosts []*netsim.Proc
	// acked is what a server was told to be durable: values by their record's
	// end. No later server may be without.
	acked   map[core.LSN]uint64
	boots   int
	lost    int // servers that ended by EIO
	fetched int
	commits int
	quiet   bool
}

func newSim(seed uint64) *sim {
	s := &sim{w: netsim.New(netsim.Options{Seed: seed, Yields: 20, Wakes: 5}), acked: map[core.LSN]uint64{}}
	s.rand = s.w.Rand("nemesis")
	s.conf.Generation = 1
	bucket := diskdrv.BucketIn(s.w, "bucket", diskdrv.BucketFaults{})
	for i := range 3 {
		name := fmt.Sprintf("sk%d", i+1)
		s.conf.Members = append(s.conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: name, Port: 5454})
		s.sks = append(s.sks, s.w.Proc(name, netsim.ProcOptions{
			Disk:    diskdrv.DiskIn(s.w, name, 0, diskdrv.Faults{}),
			Objects: func(e env.Env) env.ObjectStore { return bucket.Objects(e, name) },
		}))
	}
	for i := range 2 {
		name := fmt.Sprintf("host%d", i+1)
		disk := diskdrv.DiskIn(s.w, name, 0, diskdrv.Faults{})
		s.hosts = append(s.hosts, s.w.Proc(name, netsim.ProcOptions{Disk: disk}))
	}
	return s
}

func (s *sim) identity() consensus.Server {
	return consensus.Server{PGVersion: 150018, SystemID: format.SystemID, SegmentSize: format.SegmentSize}
}

func (s *sim) startSK(i int) {
	cfg := safekeeper.Config{NodeID: s.conf.Members[i].ID, Listen: s.conf.Members[i].Addr(), Limits: safekeeper.Limits{LowWaterBytes: -1}}
	s.sks[i].Start(func(ctx context.Context, e env.Env) error { return safekeeper.Run(ctx, e, cfg) })
}

func (s *sim) setUp(ctx context.Context, e env.Env) error {
	for _, m := range s.conf.Members {
		if err := http1test.Insist(ctx, e, m.Addr(), "/v1/tenant/timeline", safekeeper.NewCreation(ttid, s.conf, s.identity(), startAt, nil)); err != nil {
			return err
		}
	}
	return nil
}

// serve is one life of a server: elect, boot at X, work until something ends.
func (s *sim) serve(ctx context.Context, e env.Env) error {
	p, err := proposer.New(e, proposer.Config{TTID: ttid, Members: s.conf, Server: s.identity()})
	if err != nil {
		return err
	}
	e.Go("proposer", func(ctx context.Context) { p.Run(ctx) })
	x, err := p.Elect(ctx)
	if err != nil {
		return err
	}
	log := make([]byte, x.Start-startAt)
	if _, err := p.ReadWAL(ctx, startAt, log); err != nil {
		return err
	}
	h, err := replay(log, x.Start)
	if err != nil {
		s.w.Fail(err)
		return err
	}
	for _, err := range s.missing(log, x.Start) {
		s.w.Fail(err)
	}
	srv, err := s.boot(ctx, e, p, h, x.Start)
	if err != nil {
		return err
	}
	s.boots++
	err = srv.work(ctx)
	s.lost++
	return err
}

// missing tells which acknowledged values are not in a log.
func (s *sim) missing(log []byte, x core.LSN) (errs []error) {
	have := map[core.LSN]uint64{}
	d := wal.NewDecoder(format, startAt, 0)
	if err := d.Feed(startAt, log); err != nil {
		return []error{err}
	}
	for {
		rec, ok, err := d.Next()
		if !ok || err != nil {
			break
		}
		if rec.Op() == wal.XLOGNoop {
			have[rec.End] = binary.LittleEndian.Uint64(rec.Main[4:])
		}
	}
	for end, v := range s.acked {
		if have[end] != v {
			errs = append(errs, fmt.Errorf("value %d at %s was acknowledged; a server boots at %s without it", v, end, x))
		}
	}
	return errs
}

func (s *sim) boot(ctx context.Context, e env.Env, p *proposer.Proposer, h *history, x core.LSN) (*server, error) {
	set := &bootset.Set{
		LSN: x, SystemID: format.SystemID, Major: 15, SegmentSize: format.SegmentSize, Control: control.Encode(),
		Databases: []bootset.Database{{Spc: core.DefaultTablespace, DB: 5}},
	}
	plan, err := boot.New(set, h.prev, e.Clock().Now(), nil)
	if err != nil {
		return nil, err
	}
	if err := p.Offer(x, plan.Boot.WAL); err != nil {
		return nil, err
	}
	scratch, err := overlay.NewScratch(e, "scratch", 2)
	if err != nil {
		return nil, err
	}
	data, err := plan.Data(ctx, e, scratch, source{e, h}, "", nil)
	if err != nil {
		return nil, err
	}
	stream := plan.Stream(e, p, func(err error) {
		if p.Err() == nil && ctx.Err() == nil {
			s.w.Fail(fmt.Errorf("intake: %w", err))
		}
	})
	tree, err := plan.WAL(ctx, e, scratch, stream)
	if err != nil {
		return nil, err
	}
	return newServer(s, e, plan, vfs.Client{Tree: data}, vfs.Client{Tree: tree}, h), nil
}

// nemesis does one harm, or mends one, every now and then.
func (s *sim) nemesis() {
	if s.quiet {
		return
	}
	i, j := s.rand.IntN(len(s.sks)), s.rand.IntN(len(s.hosts))
	sk, host := s.sks[i], s.hosts[j]
	switch k := s.rand.IntN(12); {
	case !sk.Running():
		s.startSK(i)
	case k == 0:
		sk.Kill()
	case k == 1:
		sk.PowerCut()
	case k == 2:
		s.w.Partition([]string{host.Name()}, []string{sk.Name()})
	case k == 3:
		s.w.Reset(host.Name(), sk.Name())
	case k == 4 && host.Running():
		host.Kill()
	case k == 5 && host.Running():
		host.PowerCut()
	case k <= 7 && !host.Running():
		host.Start(s.serve) // beside the other, perhaps
	default:
		s.w.HealAll()
	}
	s.startServer()
	s.w.After(time.Duration(50+s.rand.IntN(400))*time.Millisecond, s.nemesis)
}

// startServer sees to it that one server runs at least.
func (s *sim) startServer() {
	for _, h := range s.hosts {
		if h.Running() {
			return
		}
	}
	s.hosts[s.rand.IntN(len(s.hosts))].Start(s.serve)
}

func (s *sim) run() error {
	for i := range s.sks {
		s.startSK(i)
	}
	if err := s.w.Do(time.Minute, s.setUp); err != nil {
		return fmt.Errorf("set-up: %w", err)
	}
	s.startServer()
	s.w.After(time.Second, s.nemesis)
	if err := s.w.Run(10*time.Second, nil); err != nil {
		return err
	}
	s.quiet = true
	s.w.HealAll()
	for i, sk := range s.sks {
		if !sk.Running() {
			s.startSK(i)
		}
	}
	want := s.commits + 10
	if err := s.w.Run(2*time.Minute, func() bool { s.startServer(); return s.commits >= want }); err != nil {
		return fmt.Errorf("after healing: %w", err)
	}
	return s.w.Close()
}

// TestSimulatedServers: the whole of a compute but the kernel and the server
// itself, under kills, power cuts, partitions and takeovers.
func TestSimulatedServers(t *testing.T) {
	seeds := uint64(2)
	if os.Getenv("XENON_FULL") != "" {
		seeds = 200
	}
	for seed := range seeds {
		s := newSim(seed)
		if err := s.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %d commits, %d boots, %d ended by an error, %d steps", seed, s.commits, s.boots, s.lost, s.w.Steps())
		if s.commits < 20 || s.boots < 2 {
			t.Errorf("seed %d: %d commits in %d boots", seed, s.commits, s.boots)
		}
	}
}

// TestSimulationRepeats: one seed is one run.
func TestSimulationRepeats(t *testing.T) {
	hash := func() uint64 {
		s := newSim(3)
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		return s.w.Hash()
	}
	if a, b := hash(), hash(); a != b {
		t.Errorf("two runs of one seed have the hashes %x and %x", a, b)
	}
}
