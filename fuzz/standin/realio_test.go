package standin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"xenon/compute"
	"xenon/compute/proposer"
	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire/http1/http1test"
	"xenon/fuzz/standin"
	"xenon/linearizability"
	"xenon/realio"
)

const system = 7_300_000_000_000_000_002

var (
	ttid   = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	server = consensus.Server{PGVersion: 150000, SystemID: system, SegmentSize: 1 << 20}
	quiet  = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// A proc is a process of the production world: goroutines, connections, a
// directory. It can be killed and started again.
type proc struct {
	in   *installation
	dir  string
	main func(ctx context.Context, e env.Env) error
	objs env.ObjectStore
	env  *realio.Env
	done chan struct{}
}

func (p *proc) start() {
	p.env = realio.New(realio.Options{Root: p.dir, Objects: p.objs, Log: quiet, Grace: time.Millisecond, Loopback: p.in.loopback})
	p.done = make(chan struct{})
	e, done := p.env, p.done
	go func() {
		defer close(done)
		p.main(e.Context(), e)
	}()
}

// stop ends the process. Whatever it has not written is lost.
func (p *proc) stop() {
	p.env.Stop(errors.New("killed"))
	<-p.done
	p.env.Close()
}

// An installation is three safekeepers, a pageserver and a compute.
type installation struct {
	sks     []*proc
	ps      *proc
	compute *proc
	members consensus.Configuration
	psAddr  string
	ready   chan *standin.Server

	loopback *realio.Loopback // nil: they talk over sockets
}

func freeAddr(t *testing.T) (string, uint16) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	return l.Addr().String(), uint16(n)
}

func newInstallation(t *testing.T, lo *realio.Loopback) *installation {
	store, err := realio.DirStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{members: consensus.Configuration{Generation: 1}, ready: make(chan *standin.Server, 100), loopback: lo}
	for i := range 3 {
		addr, port := freeAddr(t)
		id := core.NodeID(i + 1)
		in.members.Members = append(in.members.Members, consensus.Member{ID: id, Host: "127.0.0.1", Port: port})
		in.sks = append(in.sks, &proc{in: in, dir: t.TempDir(), main: func(ctx context.Context, e env.Env) error {
			return safekeeper.Run(ctx, e, safekeeper.Config{NodeID: id, Listen: addr, Limits: safekeeper.Limits{LowWaterBytes: -1}})
		}})
	}
	in.psAddr, _ = freeAddr(t)
	in.ps = &proc{in: in, dir: t.TempDir(), objs: store, main: func(ctx context.Context, e env.Env) error {
		return pageserver.Run(ctx, e, pageserver.Config{ID: 1, Listen: in.psAddr, WaitLSNSeconds: 60})
	}}
	in.compute = &proc{in: in, dir: t.TempDir(), objs: store, main: in.endpoint}
	return in
}

func (in *installation) endpoint(ctx context.Context, e env.Env) error {
	host := standin.NewHost(e, standin.Options{Evictions: 500, Serve: func(ctx context.Context, _ env.Env, s *standin.Server) error {
		in.ready <- s
		<-ctx.Done()
		return nil
	}})
	return compute.New(e, host, compute.Config{
		Branch: "main", TTID: ttid, Pageserver: in.psAddr, Owner: "compute", Scratch: "scratch",
		Quorum: proposer.Config{TTID: ttid, Members: in.members, Server: server},
	}).Run(ctx)
}

// begin imports a blank cluster and makes its timeline everywhere.
func (in *installation) begin(t *testing.T) {
	admin := realio.New(realio.Options{Root: t.TempDir(), Objects: in.ps.objs, Log: quiet})
	defer admin.Close()
	ctx := admin.Context()
	im, err := pageserver.ImportBlank(ctx, admin, admin.FS(), pageserver.Blank{SystemID: system, DB: standin.DB, SegmentSize: 1 << 20,
		Rels: []pageserver.BlankRel{{Node: standin.Table, Blocks: standin.Keys / 2}, {Node: standin.Heap}}}, ttid)
	if err != nil {
		t.Fatal(err)
	}
	call := func(addr, path string, body any) {
		if err := http1test.Insist(ctx, admin, addr, path, body); err != nil {
			t.Fatal(err)
		}
	}
	req := pageserver.AttachRequest{Timeline: ttid.Timeline}
	for i, sk := range in.sks {
		sk.start()
		addr := in.members.Members[i].Addr()
		call(addr, "/v1/tenant/timeline", safekeeper.NewCreation(ttid, in.members, server, im.Index.LSN, im.WAL))
		req.Safekeepers = append(req.Safekeepers, addr)
	}
	in.ps.start()
	call(in.psAddr, "/v1/tenant/"+ttid.Tenant.String()+"/timeline", req)
	in.compute.start()
}

// history is what clients saw, behind a lock.
type history struct {
	mu    sync.Mutex
	began time.Time
	linearizability.History
}

func (h *history) do(client int, op linearizability.Op, f func() (string, error)) bool {
	h.mu.Lock()
	call := h.Begin(client, op, env.Instant(time.Since(h.began)))
	h.mu.Unlock()
	v, err := f()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := env.Instant(time.Since(h.began))
	switch {
	case err == nil:
		h.Return(call, linearizability.Result{Value: v}, now)
	case errors.Is(err, standin.ErrAborted) || op.Kind == linearizability.Get:
		h.Fail(call, now)
	default:
		h.Unknown(call, now)
	}
	return err == nil
}

// clients work on one server until it ends, or each has made calls calls.
func clients(h *history, s *standin.Server, round, calls int) {
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			id := 4*round + c
			for i := range calls {
				key := (i*7 + c) % standin.Keys
				value := fmt.Sprintf("r%dc%di%d", round, c, i)
				ok := h.do(id, linearizability.Op{Kind: linearizability.Put, Key: fmt.Sprint(key), Value: value}, func() (string, error) {
					_, err := s.Put(context.Background(), key, value, i%9 == 8)
					return "", err
				})
				other := (i*5 + c) % standin.Keys
				if !ok && i%9 != 8 || !h.do(id, linearizability.Op{Kind: linearizability.Get, Key: fmt.Sprint(other)}, func() (string, error) {
					return s.Get(context.Background(), other)
				}) {
					return
				}
				s.Do(context.Background(), standin.Churn(i%int(standin.Bulk)), i*31)
			}
		})
	}
	wg.Wait()
}

// TestOnRealDisks runs an installation on goroutines, files, and connections of
// both kinds: what the simulator runs, where the race detector can see it.
// Nodes are killed and started again, and what clients saw is linearizable.
func TestOnRealDisks(t *testing.T) {
	for name, lo := range map[string]*realio.Loopback{"sockets": nil, "memory": new(realio.Loopback)} {
		t.Run(name, func(t *testing.T) { newInstallation(t, lo).survives(t) })
	}
}

func (in *installation) survives(t *testing.T) {
	in.begin(t)
	h := &history{began: time.Now()}
	nodes := append(append([]*proc{}, in.sks...), in.ps)
	for round := range 4 {
		s := <-in.ready
		done := make(chan struct{})
		go func() {
			defer close(done)
			clients(h, s, round, 30)
		}()
		time.Sleep(30 * time.Millisecond)
		victim := nodes[round%len(nodes)]
		victim.stop()
		if round%2 == 1 {
			in.compute.stop()
			victim.start()
			in.compute.start()
			<-done
			continue
		}
		<-done
		victim.start()
		in.compute.stop()
		in.compute.start()
	}
	clients(h, <-in.ready, 4, standin.Keys)
	in.compute.stop()
	for _, p := range nodes {
		p.stop()
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	t.Logf("%d calls answered", h.Answered())
	if h.Answered() < 50 {
		t.Errorf("only %d calls were answered", h.Answered())
	}
}
