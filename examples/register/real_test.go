package register_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"example.org/register"

	"xenon/core/env"
	"xenon/linearizability"
	"xenon/realio"
)

// TestRealWorld runs the same code on TCP and files: three nodes and three
// clients, one node stopped half-way.
func TestRealWorld(t *testing.T) {
	var addrs []string
	var nodes []*realio.Env
	for range 3 {
		addr, e := freeAddr(t), realio.New(realio.Options{Root: t.TempDir(), Grace: time.Millisecond})
		t.Cleanup(func() { e.Close() })
		e.Go("node", func(ctx context.Context) {
			if err := register.Serve(ctx, e, addr, register.Bugs{}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
		addrs, nodes = append(addrs, addr), append(nodes, e)
	}
	outside := realio.New(realio.Options{Grace: time.Millisecond})
	t.Cleanup(func() { outside.Close() })
	h := &history{clock: outside.Clock()}
	var wg sync.WaitGroup
	for id := range 3 {
		wg.Go(func() { h.work(t.Context(), register.NewClient(outside, uint64(id+1), addrs, register.Bugs{}), id) })
	}
	wg.Go(func() {
		h.await(30)
		nodes[0].Close()
	})
	wg.Wait()
	if err := h.calls.Check(); err != nil {
		t.Error(err)
	}
	if n := h.calls.Answered(); n < 60 {
		t.Errorf("%d calls were answered, want 60 at least", n)
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// history is one that goroutines share.
type history struct {
	clock env.Clock
	mu    sync.Mutex
	calls linearizability.History
}

// work makes forty calls on one key.
func (h *history) work(ctx context.Context, c *register.Client, id int) {
	for n := range 40 {
		op := linearizability.Op{Kind: linearizability.Get, Key: "k"}
		if n%3 == 0 {
			op.Kind, op.Value = linearizability.Put, fmt.Sprintf("%d.%d", id, n)
		}
		call := h.begin(id, op)
		var r linearizability.Result
		var err error
		if op.Kind == linearizability.Put {
			err = c.Write(ctx, op.Key, op.Value)
		} else {
			r.Value, err = c.Read(ctx, op.Key)
		}
		h.end(call, r, err)
	}
}

func (h *history) begin(id int, op linearizability.Op) linearizability.Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls.Begin(id, op, h.clock.Mono())
}

func (h *history) end(call linearizability.Call, r linearizability.Result, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.calls.Unknown(call, h.clock.Mono())
		return
	}
	h.calls.Return(call, r, h.clock.Mono())
}

// await returns once so many calls were made.
func (h *history) await(n int) {
	for {
		h.mu.Lock()
		made := h.calls.Len()
		h.mu.Unlock()
		if made >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
