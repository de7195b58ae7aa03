package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"xenon/compute"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/reference"
	"xenon/core/xsync"
	"xenon/fuzz/standin"
	"xenon/linearizability"
	"xenon/serializability"
)

// A load is what clients do, and the sizes of things, drawn for each run.
type load struct {
	Clients   int           `json:"clients"`
	Think     time.Duration `json:"think"`     // mean pause between two calls of a client
	Lull      time.Duration `json:"lull"`      // how much longer it is while clients rest, see Stretch
	ValueMax  int           `json:"value_max"` // bytes
	BulkMax   int           `json:"bulk_max"`  // bytes of the longest record
	Churn     int           `json:"churn"`     // pieces of churn in 1,000 calls
	Switches  bool          `json:"switches"`
	Recorded  bool          `json:"recorded"` // some of the churn is what PostgreSQL wrote
	Evictions int           `json:"evictions"`
	Lists     int           `json:"lists,omitempty"` // transactions over several lists in 1,000 calls

	Memory   int64 `json:"pageserver_memory"`   // bytes
	Distance int64 `json:"checkpoint_distance"` // bytes of WAL
	Buffer   int   `json:"proposer_buffer"`     // bytes
	Direct   int   `json:"proposer_direct"`     // bytes

	// WALLimit is how many bytes of WAL a safekeeper keeps of a timeline, 0 for
	// any; Idle is after how many seconds a timeline that nobody uses leaves its
	// disk.
	WALLimit int64 `json:"wal_limit"`
	Idle     int   `json:"idle_seconds"`

	// Readers are how many ask pageservers for pages; 0 is one.
	Readers int `json:"readers,omitempty"`

	// CrossCheck is how many percent of the pages that servers write are compared
	// with redo in production's way.
	CrossCheck int `json:"cross_check"`

	// Reads is what the reads of endpoints promise; Gate tells whether answers
	// go through one.
	Reads compute.Reads `json:"reads,omitempty"`
	Gate  bool          `json:"read_gate,omitempty"`
	// Skew is how many millionths slower than real time the clocks of the first
	// compute run; beyond [consensus.LeaseDrift] nothing is promised of reads.
	Skew int64 `json:"clock_skew_ppm,omitempty"`
}

func drawLoad(d dice) load {
	// Without the gate a process that stands still may answer late: the faults
	// of every run have that.
	linearizable := d.pick("reads", 0, 1) == 1
	return load{
		Reads: map[bool]compute.Reads{true: compute.Linearizable}[linearizable], Gate: linearizable,
		Clients: d.pick("clients", 2, 3, 4, 5), Think: time.Duration(d.pick("think", 20, 40, 80)) * time.Millisecond,
		Lull:     time.Duration(d.pick("lull", 2000, 8000, 30_000, 3_600_000)) * time.Millisecond,
		ValueMax: d.pick("value_max", 24, 100, 700), BulkMax: d.pick("bulk_max", 500, 9000, 40_000, 200_000), Churn: d.pick("churn", 0, 150, 300),
		Switches: d.of("switches").IntN(2) == 0, Recorded: d.of("recorded").IntN(3) == 0, Evictions: d.pick("evictions", 0, 100, 500, 1000),
		Memory:     int64(d.pick("pageserver_memory", 128<<10, 16<<20)),
		Distance:   int64(d.pick("checkpoint_distance", 4<<10, 16<<10, 64<<10, 1<<20)),
		Buffer:     d.pick("proposer_buffer", 1, 1<<20),
		Direct:     d.pick("proposer_direct", 1<<10, 16<<10),
		CrossCheck: d.pick("cross_check", 0, 100),
		WALLimit:   int64(d.pick("wal_limit", 0, 3*segmentSize, 6*segmentSize)),
		Idle:       d.pick("idle_seconds", 1, 1, 3, 3600),
		Lists:      d.pick("lists", 0, 100, 300),
	}
}

// clients are those of all servers of a branch.
type clients struct {
	c       *cluster
	line    *line
	history linearizability.History
	lists   serializability.History
	next    int // client number
	values  int
	begun   int // writes
	ended   int // writes whose client heard of them
	acked   int // writes
	// last asks every server to end with one write and one read of each key;
	// done tells that one has.
	last, done bool

	// Who waits, for [availability].
	services map[*standin.Server]service
	errands  map[int]errand // by client
	served   time.Duration  // when there was a server last
	excused  time.Duration  // when there was an excuse of this branch alone last
}

// inherit begins the history with the values that a branch begins with.
func (cl *clients) inherit(from *reference.State) {
	clog, _ := from.SLRUPage(core.Clog, 0, 0)
	id := cl.next
	cl.next++
	for key := range standin.Keys {
		page, _ := from.Page(forks[0], uint32(key))
		if v := standin.Value(&page, &clog); v != "" {
			call := cl.history.Begin(id, linearizability.Op{Kind: linearizability.Put, Key: fmt.Sprint(key), Value: v}, cl.now())
			cl.history.Return(call, linearizability.Result{}, cl.now())
		}
	}
	cl.inheritLists(from, &clog)
}

// now is the time that histories go by: the same for all processes.
func (cl *clients) now() env.Instant { return env.Instant(cl.c.w.Elapsed()) }

// serve is the clients of one server.
func (cl *clients) serve(ctx context.Context, e env.Env, s *standin.Server, term core.Term) error {
	g := xsync.NewGroup(ctx, e)
	for range cl.c.load.Clients {
		id := cl.next
		cl.next++
		dice := e.Rand(fmt.Sprintf("client %d", id))
		g.Go("client", func(ctx context.Context) error {
			for {
				if cl.last {
					return nil
				}
				pause := cl.c.pause(dice, time.Duration(dice.Int64N(2*int64(cl.c.load.Think))))
				if cl.c.rush.hasty {
					pause /= 10
				}
				if err := e.Clock().Sleep(ctx, pause); err != nil {
					return err
				}
				if cl.c.rush.silent {
					continue
				}
				if err := cl.call(ctx, s, term, id, dice); err != nil {
					return err
				}
			}
		})
	}
	if cl.c.load.Reads == compute.Linearizable {
		for range watchers {
			g.Go("watcher", func(ctx context.Context) error { return cl.watch(ctx, e, s, term) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return cl.conclude(ctx, e, s, term)
}

// watchers are clients that only read. Of a server that is cut off the others
// soon wait for a commit that does not come: these are who sees old values.
const watchers = 2

// watch reads one key after another.
func (cl *clients) watch(ctx context.Context, e env.Env, s *standin.Server, term core.Term) error {
	id := cl.next
	cl.next++
	dice := e.Rand(fmt.Sprintf("watcher %d", id))
	for !cl.last {
		if err := e.Clock().Sleep(ctx, cl.c.pause(dice, time.Duration(dice.Int64N(int64(cl.c.load.Think))))); err != nil {
			return err
		}
		if err := cl.get(ctx, s, term, id, dice.IntN(standin.Keys)); err != nil {
			return err
		}
	}
	return nil
}

// conclude writes and reads every key once more.
func (cl *clients) conclude(ctx context.Context, e env.Env, s *standin.Server, term core.Term) error {
	id := cl.next
	cl.next++
	dice := e.Rand("conclusion")
	for key := range standin.Keys {
		if err := cl.get(ctx, s, term, id, key); err != nil {
			return err
		}
		if err := cl.put(ctx, s, term, id, key, dice); err != nil {
			return err
		}
		if err := cl.get(ctx, s, term, id, key); err != nil {
			return err
		}
	}
	if cl.c.load.Lists > 0 {
		if err := cl.transact(ctx, s, term, id, allLists(), false); err != nil {
			return err
		}
	}
	cl.done = true
	return nil
}

// call is one call of one client.
func (cl *clients) call(ctx context.Context, s *standin.Server, term core.Term, id int, dice *rand.Rand) error {
	key, r := dice.IntN(standin.Keys), &cl.c.rush
	if r.any() {
		r.calls++
	}
	if cl.c.load.Lists > 0 && dice.IntN(1000) < cl.c.load.Lists {
		return cl.transact(ctx, s, term, id, drawOperations(dice, r.hot), dice.IntN(12) == 0)
	}
	if r.hot {
		key = 0
	}
	switch k := dice.IntN(1000); {
	case k < cl.c.load.Churn, r.churn:
		return cl.churn(ctx, s, dice)
	case k < 550:
		return cl.get(ctx, s, term, id, key)
	}
	return cl.put(ctx, s, term, id, key, dice)
}

func (cl *clients) churn(ctx context.Context, s *standin.Server, dice *rand.Rand) error {
	kind := standin.Churn(dice.IntN(int(standin.ChurnKinds)))
	if cl.c.load.Recorded && dice.IntN(3) == 0 {
		kind = standin.Replay
	}
	size := dice.IntN(1 + cl.c.load.BulkMax)
	if cl.c.rush.big {
		kind, size = standin.Bulk, 20_000+dice.IntN(60_000)
	}
	if kind == standin.Bulk && !cl.c.rush.big && dice.IntN(4) > 0 {
		size %= 300
	}
	if kind == standin.Switch && (!cl.c.load.Switches || dice.IntN(8) > 0) {
		kind = standin.Fill
	}
	return s.Do(ctx, kind, size)
}

func (cl *clients) get(ctx context.Context, s *standin.Server, term core.Term, id, key int) error {
	call := cl.history.Begin(id, linearizability.Op{Kind: linearizability.Get, Key: fmt.Sprint(key)}, cl.now())
	done := cl.waits(id, s)
	v, err := s.Get(ctx, key)
	done()
	if err != nil {
		cl.history.Fail(call, cl.now())
		return err
	}
	cl.history.Return(call, linearizability.Result{Value: v}, cl.now())
	if cl.line.newest > term {
		if cl.c.load.Reads == compute.Linearizable {
			cl.line.j.counts.ZombieReads++
			return nil
		}
		// What a superseded server answers is promised to nobody.
		cl.history.Forget(call)
	}
	return nil
}

func (cl *clients) put(ctx context.Context, s *standin.Server, term core.Term, id, key int, dice *rand.Rand) error {
	cl.values++
	v := fmt.Sprintf("v%d", cl.values)
	if long := dice.IntN(cl.c.load.ValueMax); long > len(v) {
		v += strings.Repeat("x", long-len(v))
	}
	abort := dice.IntN(12) == 0
	cl.begun++
	call := cl.history.Begin(id, linearizability.Op{Kind: linearizability.Put, Key: fmt.Sprint(key), Value: v}, cl.now())
	done := cl.waits(id, s)
	lsn, err := s.Put(ctx, key, v, abort)
	done()
	cl.ended++
	switch {
	case errors.Is(err, standin.ErrAborted):
		cl.history.Fail(call, cl.now())
		return nil
	case err != nil:
		cl.history.Unknown(call, cl.now())
		return err
	}
	cl.history.Return(call, linearizability.Result{}, cl.now())
	cl.acked++
	cl.line.acknowledged(term, lsn)
	return nil
}
