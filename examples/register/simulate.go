package register

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/linearizability"
	"xenon/netsim"
	"xenon/netsim/picture"
)

// A Run is what came of a seed.
type Run struct {
	Seed     uint64
	Err      error // a *linearizability.Violation, or what the world found
	Hash     uint64
	Calls    int
	Recorder *picture.Recorder // if the run was recorded
	End      time.Duration
}

const (
	nodes   = 3
	clients = 4
	keys    = 2
	length  = 3 * time.Second
)

// Simulate runs three nodes and four clients for three seconds while power
// fails, processes are killed and links are cut, as the seed has it, and asks
// whether what clients saw has an order that explains it.
func Simulate(seed uint64, bugs Bugs, record bool) *Run {
	r := &Run{Seed: seed}
	o := netsim.Options{Seed: seed, Yields: 20}
	if record {
		r.Recorder = picture.New(reader{}, "node1", "node2", "node3")
		o.Record = r.Recorder.Record
	}
	w := netsim.New(o)
	var addrs []string
	var starts []func()
	for i := range nodes {
		addr, start := node(w, fmt.Sprintf("node%d", i+1), bugs)
		addrs, starts = append(addrs, addr), append(starts, start)
		start()
	}
	var history linearizability.History
	for i := range clients {
		startClient(w, uint64(i+1), addrs, bugs, &history)
	}
	trouble(w, starts)
	r.Err = w.Run(length, nil)
	r.Hash, r.Calls, r.End = w.Hash(), history.Len(), w.Elapsed()
	if err := w.Close(); r.Err == nil {
		r.Err = err
	}
	if r.Err == nil {
		r.Err = history.Check()
	}
	return r
}

// node makes a node on a machine with a disk of its own; start begins an
// incarnation of its process.
func node(w *netsim.World, name string, bugs Bugs) (addr string, start func()) {
	addr = name + ":7000"
	disk := diskdrv.DiskIn(w, name, 0, diskdrv.Faults{Sync: diskdrv.Delay{Base: time.Millisecond, Jitter: 4 * time.Millisecond}})
	p := w.Proc(name, netsim.ProcOptions{Disk: disk})
	return addr, func() {
		p.Start(func(ctx context.Context, e env.Env) error { return Serve(ctx, e, addr, bugs) })
	}
}

// startClient runs a client that reads and writes at random, and notes every
// call in the history.
func startClient(w *netsim.World, id uint64, addrs []string, bugs Bugs, h *linearizability.History) {
	w.Proc(fmt.Sprintf("client%d", id), netsim.ProcOptions{}).Start(func(ctx context.Context, e env.Env) error {
		c, dice := NewClient(e, id, addrs, bugs), e.Rand("calls")
		now := func() env.Instant { return env.Instant(w.Elapsed()) } // one clock for all
		for n := 0; ; n++ {
			if err := e.Clock().Sleep(ctx, time.Duration(dice.Int64N(int64(30*time.Millisecond)))); err != nil {
				return err
			}
			op := linearizability.Op{Kind: linearizability.Get, Key: fmt.Sprint(dice.IntN(keys))}
			var result linearizability.Result
			var err error
			if dice.IntN(3) == 0 {
				op.Kind, op.Value = linearizability.Put, fmt.Sprintf("%d.%d", id, n)
			}
			call := h.Begin(int(id), op, now())
			if op.Kind == linearizability.Put {
				err = c.Write(ctx, op.Key, op.Value)
			} else {
				result.Value, err = c.Read(ctx, op.Key)
			}
			if err != nil {
				h.Unknown(call, now())
				// Whatever this client does next would overlap the call that
				// may still take effect: history gives that a client of its own.
				continue
			}
			h.Return(call, result, now())
		}
	})
}

// trouble is the plan of a run: what befalls whom, and when.
func trouble(w *netsim.World, starts []func()) {
	dice := w.Rand("trouble")
	for range 8 {
		at := time.Duration(dice.Int64N(int64(length)))
		last := at + time.Duration(dice.Int64N(int64(300*time.Millisecond)))
		which := dice.IntN(nodes)
		name, other := fmt.Sprintf("node%d", 1+which), fmt.Sprintf("client%d", 1+dice.IntN(clients))
		kind := dice.IntN(3)
		w.After(at, func() {
			p := w.Find(name)
			switch {
			case kind == 0:
				w.Partition([]string{name}, []string{other})
			case !p.Running():
			case kind == 1:
				p.Pause()
			default:
				p.PowerCut()
			}
		})
		w.After(last, func() {
			p := w.Find(name)
			switch {
			case kind == 0:
				w.HealAll()
			case kind == 1:
				p.Resume()
			case !p.Running():
				starts[which]()
			}
		})
	}
}

// reader makes words of messages for a picture: they are text already.
type reader struct{}

// Message implements picture.Reader.
func (reader) Message(_ uint64, _, _ string, data []byte) picture.Label {
	text := strings.TrimSpace(string(data))
	kind, _, _ := strings.Cut(text, " ")
	if kind != "get" && kind != "put" && kind != "ok" {
		kind = "value"
	}
	return picture.Label{Kind: kind, Text: text}
}

// Note implements picture.Reader.
func (reader) Note(r *picture.Recorder, d *netsim.Detail) bool {
	if d.Kind == "register.put" {
		r.Value("log", "bytes", r.Lane(d.Proc), d.C)
	}
	return false
}

// Picture is the run as a page shows it.
func (r *Run) Picture() *picture.Picture {
	failed, wrong := picture.Never, picture.Never
	var v *linearizability.Violation
	if r.Err != nil {
		failed = r.End
	}
	if errors.As(r.Err, &v) {
		if call, ok := v.Unexplained(); ok {
			wrong = time.Duration(call.From)
		}
	}
	p := r.Recorder.Picture(r.End, failed, wrong, picture.DefaultLimits)
	p.Title, p.Verdict, p.Failed = fmt.Sprintf("register, seed %d", r.Seed), "passed", r.Err != nil
	p.Unit = "bytes"
	if p.Failed {
		p.Verdict = "FAILED"
		p.Story = append(p.Story, picture.Line{At: wrong, Kind: "wrong", Text: r.Err.Error()})
	}
	return p
}
