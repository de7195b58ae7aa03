package proposer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/wire/http1/http1test"
	"xenon/diskdrv"
	"xenon/linearizability"
	"xenon/netsim"
)

// A sim is three safekeepers and a compute in the simulated world. The compute
// writes records of one size, so that where each begins is the same in every
// incarnation.
type sim struct {
	w        *netsim.World
	rand     *rand.Rand
	conf     consensus.Configuration
	sks      []*netsim.Proc
	compute  *netsim.Proc
	acked    core.LSN
	starts   map[core.LSN]core.LSN // of a record, by its end
	log      *linearizability.Log
	elected  int
	commits  int
	quiet    bool
	finished bool
	length   time.Duration // of the time of faults
}

func newSim(seed uint64) *sim {
	s := &sim{w: netsim.New(netsim.Options{Seed: seed, Yields: 20, Wakes: 5}), starts: map[core.LSN]core.LSN{}, log: linearizability.NewLog(startAt), length: 10 * time.Second}
	s.rand = s.w.Rand("nemesis")
	s.conf.Generation = 1
	bucket := diskdrv.BucketIn(s.w, "bucket", diskdrv.BucketFaults{})
	for i := range 3 {
		name := fmt.Sprintf("sk%d", i+1)
		s.conf.Members = append(s.conf.Members, consensus.Member{ID: core.NodeID(i + 1), Host: name, Port: 5454})
		disk := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: s.w.Rand(name)})
		s.sks = append(s.sks, s.w.Proc(name, netsim.ProcOptions{
			Disk: disk, Objects: func(e env.Env) env.ObjectStore { return bucket.Objects(e, name) },
		}))
	}
	s.compute = s.w.Proc("compute", netsim.ProcOptions{})
	return s
}

func (s *sim) startSK(i int) {
	cfg := safekeeper.Config{NodeID: s.conf.Members[i].ID, Listen: s.conf.Members[i].Addr(), Limits: safekeeper.Limits{LowWaterBytes: -1}}
	s.sks[i].Start(func(ctx context.Context, e env.Env) error { return safekeeper.Run(ctx, e, cfg) })
}

func (s *sim) setUp(ctx context.Context, e env.Env) error {
	for _, m := range s.conf.Members {
		if err := http1test.Insist(ctx, e, m.Addr(), "/v1/tenant/timeline", safekeeper.NewCreation(ttid, s.conf, server, startAt, nil)); err != nil {
			return err
		}
	}
	return nil
}

// work is one incarnation of the compute: it writes until it ends.
func (s *sim) work(ctx context.Context, e env.Env) error {
	p, err := proposer.New(e, proposer.Config{TTID: ttid, Members: s.conf, Server: server, BufferBytes: 1, DirectBytes: 2 << 10})
	if err != nil {
		return err
	}
	e.Go("proposer", func(ctx context.Context) { p.Run(ctx) })
	x, err := p.Elect(ctx)
	if err != nil {
		return err
	}
	if x.Start < s.acked {
		s.w.Fail(fmt.Errorf("term %d begins at %s, acknowledged was %s", x.Term, x.Start, s.acked))
	}
	s.elected++
	enc := wal.NewEncoder(format, x.Start, s.starts[x.Start])
	for at := x.Start; ; {
		main := make([]byte, 12_000)
		main[0] = byte(x.Term)
		b, err := enc.Append(nil, &wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: main})
		if err == nil {
			err = p.Offer(at, b)
		}
		if err != nil {
			return err
		}
		end := at + core.LSN(len(b))
		s.starts[end], at = format.RecordStart(at), end
		if err := p.AwaitCommit(ctx, end); err != nil {
			return err
		}
		s.acked = max(s.acked, end)
		s.commits++
		if s.commits%5 == 0 || s.quiet {
			err := s.log.Commit(fmt.Sprintf("term %d", x.Term), end, func(lsn core.LSN, dst []byte) error {
				_, err := p.ReadWAL(ctx, lsn, dst)
				return err
			})
			if err != nil && p.Err() == nil && s.quiet {
				s.w.Fail(err)
			}
			if err == nil && s.quiet {
				s.finished = true
			}
		}
		e.Clock().Sleep(ctx, time.Duration(e.Rand("think").IntN(20))*time.Millisecond)
	}
}

// nemesis does one harm, or mends one, every now and then.
func (s *sim) nemesis() {
	if s.quiet {
		return
	}
	i := s.rand.IntN(len(s.sks))
	sk := s.sks[i]
	switch k := s.rand.IntN(11); {
	case !sk.Running():
		s.startSK(i)
	case k == 0:
		sk.Kill()
	case k == 1:
		sk.PowerCut()
	case k == 2:
		s.w.Partition([]string{"compute"}, []string{sk.Name()})
	case k == 3:
		s.w.Reset("compute", sk.Name())
	case k == 4:
		s.compute.Kill()
	case k == 5:
		sk.Pause()
		s.w.After(time.Duration(s.rand.IntN(3000))*time.Millisecond, sk.Resume)
	case k == 6:
		s.w.HalfOpen("compute", sk.Name())
	default:
		s.w.HealAll()
	}
	s.startCompute()
	s.w.After(time.Duration(50+s.rand.IntN(400))*time.Millisecond, s.nemesis)
}

func (s *sim) startCompute() {
	if !s.compute.Running() {
		s.compute.Start(s.work)
	}
}

// heal mends everything and waits until the compute commits and reads back.
func (s *sim) heal() error {
	s.quiet = true
	s.w.HealAll()
	for i, sk := range s.sks {
		if !sk.Running() {
			s.startSK(i)
		}
	}
	return s.w.Run(2*time.Minute, func() bool {
		s.startCompute()
		return s.finished
	})
}

func (s *sim) run() error {
	for i := range s.sks {
		s.startSK(i)
	}
	if err := s.w.Do(time.Minute, s.setUp); err != nil {
		return fmt.Errorf("set-up: %w", err)
	}
	s.startCompute()
	s.w.After(time.Second, s.nemesis)
	if err := s.w.Run(s.length, nil); err != nil {
		return err
	}
	if err := s.heal(); err != nil {
		return err
	}
	return s.w.Close()
}

// Nothing acknowledged is lost, and one history is read by all, under kills,
// power cuts, partitions and resets.
func TestSimulatedFaults(t *testing.T) {
	seeds := uint64(3)
	if os.Getenv("XENON_FULL") == "1" {
		seeds = 100
	}
	for seed := range seeds {
		s := newSim(seed)
		if err := s.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %d commits in %d elections, %d steps", seed, s.commits, s.elected, s.w.Steps())
		if s.commits < 10 {
			t.Errorf("seed %d: only %d commits", seed, s.commits)
		}
	}
}

// One seed is one run, to the last byte.
func TestSimulationRepeats(t *testing.T) {
	hash := func() uint64 {
		s := newSim(7)
		s.length = 4 * time.Second
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		return s.w.Hash()
	}
	if a, b := hash(), hash(); a != b {
		t.Errorf("two runs of one seed have the hashes %x and %x", a, b)
	}
}
