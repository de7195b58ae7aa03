package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A simulated is a world of three safekeepers and a pageserver over one bucket.
type simulated struct {
	w      *netsim.World
	bucket *diskdrv.Bucket
	ps     *netsim.Proc
	test   *netsim.Proc
	im     *pageserver.Imported
	sks    []*netsim.Proc
}

const psAddr = "ps:6400"

func simulate(t *testing.T, seed uint64) *simulated {
	t.Helper()
	s := &simulated{w: netsim.New(netsim.Options{Seed: seed})}
	t.Cleanup(func() {
		if err := s.w.Close(); err != nil {
			t.Error(err)
		}
	})
	s.bucket = diskdrv.NewBucket(diskdrv.BucketOptions{Rand: s.w.Rand("bucket")})
	s.ps, s.test = s.proc("ps"), s.proc("test")
	for i := range 3 {
		s.sks = append(s.sks, s.proc(fmt.Sprintf("sk%d", i+1)))
	}
	return s
}

func (s *simulated) proc(name string) *netsim.Proc {
	return s.w.Proc(name, netsim.ProcOptions{
		Disk:    diskdrv.NewDisk(diskdrv.DiskOptions{Rand: s.w.Rand("disk " + name)}),
		Objects: func(e env.Env) env.ObjectStore { return s.bucket.Objects(e, name) },
	})
}

func (s *simulated) startPS() {
	s.ps.Start(func(ctx context.Context, e env.Env) error {
		return pageserver.Run(ctx, e, pageserver.Config{ID: 7, Listen: psAddr, WaitLSNSeconds: 600, CheckpointDistance: 4000})
	})
}

func skAddr(i int) string { return fmt.Sprintf("sk%d:5454", i+1) }

func (s *simulated) startSK(i int) {
	s.sks[i].Start(func(ctx context.Context, e env.Env) error {
		return safekeeper.Run(ctx, e, safekeeper.Config{NodeID: core.NodeID(i + 1), Listen: skAddr(i)})
	})
}

// begin imports a blank cluster and makes its timeline everywhere.
func (s *simulated) begin(ctx context.Context, e env.Env) (err error) {
	blank := pageserver.Blank{SystemID: testSystem, LSN: core.DefaultSegmentSize + 4096,
		Rels: []pageserver.BlankRel{{Node: 16384, Blocks: 3}, {Node: 16385}}}
	if err := pageserver.WriteBlank(e.FS(), blank); err != nil {
		return err
	}
	s.im, err = pageserver.Import(ctx, e, e.FS(), testTimeline)
	return err
}

// attach asks until it is done: the pageserver may be dead.
func attach(ctx context.Context, e env.Env, addr string) error {
	req := pageserver.AttachRequest{Timeline: testTimeline.Timeline, Safekeepers: []string{skAddr(0), skAddr(1), skAddr(2)}}
	for {
		err := http1.Call(ctx, e, addr, "POST", "/v1/tenant/"+testTimeline.Tenant.String()+"/timeline", req, nil)
		if err == nil {
			return nil
		}
		if err := e.Clock().Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// readPage asks until it is answered.
func readPage(ctx context.Context, e env.Env, addr string, q wire.PageRequest) (wire.PageReply, error) {
	for {
		r, err := readOnce(ctx, e, addr, q)
		if err == nil || ctx.Err() != nil {
			return r, err
		}
		if err := e.Clock().Sleep(ctx, 100*time.Millisecond); err != nil {
			return r, err
		}
	}
}

func readOnce(ctx context.Context, e env.Env, addr string, q wire.PageRequest) (r wire.PageReply, err error) {
	c, err := wire.Connect(ctx, e, addr, wire.ClientConfig{Limit: 1 << 20, Timeout: 10 * time.Second})
	if err != nil {
		return r, err
	}
	defer c.Close()
	c.NetConn().SetDeadline(e.Clock().Now().Add(30 * time.Second))
	if err := c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", testTimeline.Tenant, testTimeline.Timeline)); err != nil {
		return r, err
	}
	c.CopyData(q.Append(nil), nil)
	if err := c.Flush(); err != nil {
		return r, err
	}
	body, err := c.ReadCopy()
	if err != nil {
		return r, err
	}
	return wire.DecodePageReply(body)
}

// seeds is how many worlds are run: more when there is time.
func seeds() uint64 {
	if os.Getenv("XENON_FULL") == "1" {
		return 100
	}
	return 5
}

// TestSimulated commits WAL on three safekeepers while the pageserver is
// killed, loses power and is cut off, and one safekeeper dies for good. Pages
// read all the while, and all pages in the end, equal the reference.
func TestSimulated(t *testing.T) {
	for seed := range seeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runWorld(t, seed) })
	}
}

// TestSimulatedTwice: a seed is one run, to the last byte on the wire.
func TestSimulatedTwice(t *testing.T) {
	if a, b := runWorld(t, 1), runWorld(t, 1); a != b {
		t.Errorf("two runs of one seed have hashes %016x and %016x", a, b)
	}
}

// runWorld returns the hash of all that happened.
func runWorld(t *testing.T, seed uint64) uint64 {
	t.Helper()
	s := simulate(t, seed)
	if err := s.test.Do(time.Minute, s.begin); err != nil {
		t.Fatal(err)
	}
	sc := newScript(&world{im: s.im})
	rng := rand.New(rand.NewPCG(seed, 5))
	for len(sc.recs) < 300 {
		sc.step(t, rng.IntN)
	}
	for i := range s.sks {
		s.startSK(i)
	}
	s.startPS()
	for i := range 6 {
		s.w.After(time.Duration(1+3*i)*time.Second, func() {
			if i%2 == 0 {
				s.ps.Kill()
			} else {
				s.ps.PowerCut()
			}
		})
		s.w.After(time.Duration(2+3*i)*time.Second, s.startPS)
	}
	s.w.After(7500*time.Millisecond, s.sks[seed%3].PowerCut)
	err := s.test.Do(time.Hour, func(ctx context.Context, e env.Env) error {
		return s.work(ctx, e, sc, int(seed%3), rng)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.w.Hash()
}

// work commits the script piece by piece and reads pages in between. The
// safekeeper doomed loses power at some moment.
func (s *simulated) work(ctx context.Context, e env.Env, sc *script, doomed int, rng *rand.Rand) error {
	var sks []*safekeeperAt
	for i := range s.sks {
		k := &safekeeperAt{env: e, addr: skAddr(i)}
		if err := errors.Join(k.create(ctx, s.im, 3), k.elect(ctx, members(3), testServer, 1)); err != nil {
			return err
		}
		sks = append(sks, k)
	}
	if err := attach(ctx, e, psAddr); err != nil {
		return err
	}
	from, dead := sc.begin, false
	for n := 20; n <= len(sc.lsns); n += 20 {
		to := sc.lsns[n-1]
		for i, k := range sks {
			if dead && i == doomed {
				continue
			}
			k.c.NetConn().SetDeadline(e.Clock().Now().Add(20 * time.Second))
			if err := k.push(sc, from, to); err != nil {
				if i != doomed {
					return fmt.Errorf("push to safekeeper %d: %w", i+1, err)
				}
				dead = true
			}
		}
		from = to
		if err := sc.check(ctx, e, psAddr, sc.lsns[rng.IntN(n)]); err != nil {
			return err
		}
		if err := e.Clock().Sleep(ctx, 1300*time.Millisecond); err != nil {
			return err
		}
	}
	for i := 0; i < len(sc.lsns)/20*20; i += 13 {
		if err := sc.check(ctx, e, psAddr, sc.lsns[i]); err != nil {
			return err
		}
	}
	if !dead {
		return errors.New("no safekeeper died: the test does not do what it says")
	}
	return nil
}

// check compares the heap's first pages as of an LSN.
func (s *script) check(ctx context.Context, e env.Env, addr string, lsn core.LSN) error {
	for blk := range min(s.states[lsn].Sizes[core.BlockKey(heapRel, 0)], 3) {
		q := pageRequest(lsn)
		q.Block = blk
		r, err := readPage(ctx, e, addr, q)
		if err != nil {
			return err
		}
		if want, _ := s.states[lsn].Page(heapRel, blk); r.Request.Kind != wire.PageGet || redo.Page(r.Pages) != want {
			return fmt.Errorf("as of %s block %d differs (%s)", lsn, blk, r.Message)
		}
	}
	return nil
}
