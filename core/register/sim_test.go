package register_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/register"
	"xenon/diskdrv"
	"xenon/netsim"
)

// adds is an operation on a counter: add one, or read.
type adds struct{ read bool }

// counter is the sequential specification; an unknown outcome is an operation
// whose output is -1 and that never returns.
var counter = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, in, out any) (bool, any) {
		n, got := state.(int), out.(int)
		if in.(adds).read {
			return got == -1 || got == n, n
		}
		return got == -1 || got == n+1, n + 1
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v: %v", in, out) },
}

// A history is what the clients of one run saw, at simulated times.
type history struct {
	w       *netsim.World
	ops     []porcupine.Operation
	minted  []core.Generation
	unknown int
	restart int
}

// never is after every run.
const never = int64(time.Hour * 1000)

func (h *history) do(client int, read bool, f func() (int, error)) {
	at := int64(h.w.Elapsed())
	n := len(h.ops)
	// Noted first: a client that is killed leaves an operation without an end.
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: adds{read}, Call: at, Output: -1, Return: never})
	out, err := f()
	switch {
	case err == nil:
		h.ops[n].Output, h.ops[n].Return = out, int64(h.w.Elapsed())
	case errors.Is(err, env.ErrUnknown):
		h.unknown++
	default:
		panic(err)
	}
}

// client adds to the counter, reads it, and mints generations.
func (h *history) client(id int) netsim.Main {
	return func(ctx context.Context, e env.Env) error {
		r := register.New(e, "counter")
		rng := e.Rand("client")
		for range 6 {
			switch rng.IntN(4) {
			case 0:
				h.do(id, true, func() (int, error) { s, err := r.Read(ctx); return number(s), err })
			case 1:
				g, err := register.Mint(ctx, e, "owner/", nil)
				if err != nil {
					return err
				}
				h.minted = append(h.minted, g)
			default:
				h.do(id, false, func() (int, error) {
					s, err := r.Update(ctx, func(s register.State) ([]byte, error) {
						return strconv.AppendInt(nil, int64(number(s)+1), 10), nil
					})
					return number(s), err
				})
			}
			if err := e.Clock().Sleep(ctx, time.Duration(rng.Int64N(int64(time.Second)))); err != nil {
				return err
			}
		}
		return nil
	}
}

func number(s register.State) int {
	n, _ := strconv.Atoi(string(s.Payload))
	return n
}

// simulate runs clients over a bucket that misbehaves, some of which are
// killed and start again, and returns what they saw.
func simulate(seed uint64) (*history, uint64, error) {
	w := netsim.New(netsim.Options{Seed: seed})
	defer w.Close()
	b := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{
		SlowDown: 30, Unavailable: 30, Conflict: 200, LostRequest: 60, LostResponse: 120, Late: 120, Twice: 60, CutBody: 30,
		Latency: diskdrv.Delay{Base: 5 * time.Millisecond, Jitter: 50 * time.Millisecond},
		Timeout: 300 * time.Millisecond, MaxLate: 3 * time.Second,
	})
	h := &history{w: w}
	const clients = 4
	running, rng := clients, w.Rand("nemesis")
	for id := range clients {
		p := w.Proc(fmt.Sprintf("c%d", id), netsim.ProcOptions{
			Objects: func(e env.Env) env.ObjectStore { return b.Objects(e, fmt.Sprintf("c%d", id)) },
			Exit:    func(*netsim.Proc, error) { running-- },
		})
		p.Start(h.client(id))
		if rng.IntN(2) == 0 {
			killOnce(w, p, h, h.client(id+clients), rng)
		}
	}
	err := w.Run(time.Hour, func() bool { return running == 0 })
	return h, w.Hash(), err
}

// killOnce kills a process at some moment and starts it as another client.
func killOnce(w *netsim.World, p *netsim.Proc, h *history, next netsim.Main, rng *rand.Rand) {
	w.After(time.Duration(rng.Int64N(int64(2*time.Second))), func() {
		if p.Running() {
			p.Kill()
			p.Start(next)
			h.restart++
		}
	})
}

// check tells what is wrong with a history.
func (h *history) check() error {
	if r := porcupine.CheckOperationsTimeout(counter, h.ops, 10*time.Second); r != porcupine.Ok {
		return fmt.Errorf("the counter is not linearizable (%s): %+v", r, h.ops)
	}
	slices.Sort(h.minted)
	if len(slices.Compact(slices.Clone(h.minted))) != len(h.minted) {
		return fmt.Errorf("a generation was minted twice: %d", h.minted)
	}
	return nil
}

func TestRegisterInBadStore(t *testing.T) {
	ops, unknown, restarts, minted := 0, 0, 0, 0
	for seed := range uint64(150) {
		h, _, err := simulate(seed)
		if err == nil {
			err = h.check()
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		ops, unknown, restarts, minted = ops+len(h.ops), unknown+h.unknown, restarts+h.restart, minted+len(h.minted)
	}
	t.Logf("%d operations, %d of unknown outcome, %d restarts, %d generations", ops, unknown, restarts, minted)
	if restarts == 0 || minted == 0 {
		t.Error("a fault or an operation was never tried")
	}
}

// TestSameSeed: a run is a function of its seed.
func TestSameSeed(t *testing.T) {
	_, first, err := simulate(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, again, _ := simulate(3); again != first {
		t.Errorf("two runs of one seed have the hashes %x and %x", first, again)
	}
	if _, other, _ := simulate(4); other == first {
		t.Error("two seeds have the same hash")
	}
}
