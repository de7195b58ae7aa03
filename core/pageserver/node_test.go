package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/pageserver/bootset"
	"xenon/core/redo"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/realio"
)

// A keeper stands in for a safekeeper: it serves committed WAL of a script,
// as much of it as it is told to, and can fall silent.
type keeper struct {
	s    *script
	env  *realio.Env
	addr string
	l    net.Listener

	mu      sync.Mutex
	commit  core.LSN
	silent  bool // says nothing at all
	cut     int  // closes each stream after so many messages; 0: never
	flip    bool // flips a bit of each message
	streams int
}

func newKeeper(t *testing.T, s *script, commit core.LSN) *keeper {
	t.Helper()
	k := &keeper{s: s, env: at(t, t.TempDir(), nil), commit: commit}
	l, err := k.env.Net().Listen(k.env.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.l, k.addr = l, l.Addr().String()
	t.Cleanup(func() { l.Close() })
	k.env.Go("keeper", func(ctx context.Context) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			k.env.Go("keeper-conn", func(ctx context.Context) {
				defer c.Close()
				defer wire.CloseOn(ctx, c)()
				if s, err := wire.Accept(c, 0); err == nil {
					s.Serve(ctx, k.query)
				}
			})
		}
	})
	return k
}

func (k *keeper) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *keeper) query(ctx context.Context, s *wire.Session, sql string) error {
	cmd, err := wire.ParseCommand(sql)
	if err != nil {
		return err
	}
	switch cmd.Name {
	case wire.CmdIdentifySystem:
		s.Columns(wire.Column{Name: "systemid", Type: wire.TypeText})
		s.Row([]byte(fmt.Sprint(testSystem)))
		s.Complete("IDENTIFY_SYSTEM")
	case wire.CmdTimelineStatus:
		k.mu.Lock()
		lsn := k.commit
		k.mu.Unlock()
		s.Columns(wire.Column{Name: "flush_lsn", Type: wire.TypeText}, wire.Column{Name: "commit_lsn", Type: wire.TypeText})
		s.Row([]byte(lsn.String()), []byte(lsn.String()))
		s.Complete("TIMELINE_STATUS")
	case wire.CmdStartReplication:
		return k.stream(ctx, s, cmd.Start)
	}
	return nil
}

// stream sends pieces of odd lengths, a keepalive every 100 ms.
func (k *keeper) stream(ctx context.Context, s *wire.Session, pos core.LSN) error {
	if err := s.CopyBoth(); err != nil {
		return err
	}
	k.set(func() { k.streams++ })
	for n := 1; ; n++ {
		k.mu.Lock()
		commit, silent, cut, flip := k.commit, k.silent, k.cut, k.flip
		k.mu.Unlock()
		if cut > 0 && n > cut {
			return &wire.ConnError{Err: errors.New("cut")}
		}
		switch {
		case silent:
		case pos < commit:
			size := min(commit-pos, core.LSN(1+n*777%3000))
			if cut > 0 {
				size = min(size, core.LSN(1+n*97%200))
			}
			b := append([]byte(nil), k.s.wal[pos-k.s.begin:pos-k.s.begin+size]...)
			if flip {
				b[len(b)/2] ^= 4
			}
			m := wire.XLogData{Start: pos, End: commit, WAL: b}
			s.CopyData(m.AppendHead(nil), b)
			pos += size
		default:
			ka := wire.Keepalive{End: commit, Reply: true}
			s.CopyData(ka.Append(nil), nil)
		}
		if err := s.Flush(); err != nil {
			return &wire.ConnError{Err: err}
		}
		if silent || pos >= commit {
			if err := k.env.Clock().Sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// A pserver is a running pageserver.
type pserver struct {
	t    *testing.T
	env  *realio.Env
	addr string
	done chan error
}

func (w *world) run(t *testing.T, dir string) *pserver {
	t.Helper()
	p := &pserver{t: t, env: at(t, dir, w.store), done: make(chan error, 1)}
	// The port is chosen by the listener of a moment ago.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	l.Close()
	p.env.Go("pageserver", func(ctx context.Context) {
		p.done <- pageserver.Run(ctx, p.env, pageserver.Config{ID: 7, Listen: p.addr, WaitLSNSeconds: 60})
	})
	p.eventually("it listens", func() error { return p.call("GET", "/v1/status", nil, nil) })
	return p
}

func (p *pserver) call(method, path string, in, out any) error {
	return http1.Call(p.env.Context(), p.env, p.addr, method, path, in, out)
}

// eventually waits generously: the machine may be slow.
func (p *pserver) eventually(what string, f func() error) {
	p.t.Helper()
	var err error
	for range 6000 {
		if err = f(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("%s does not come true: %v", what, err)
}

func (p *pserver) attach(keepers ...*keeper) {
	p.t.Helper()
	req := pageserver.AttachRequest{Timeline: testTimeline.Timeline}
	for _, k := range keepers {
		req.Safekeepers = append(req.Safekeepers, k.addr)
	}
	if err := p.call("POST", "/v1/tenant/"+testTimeline.Tenant.String()+"/timeline", req, nil); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pserver) info() (info pageserver.TimelineInfo) {
	p.t.Helper()
	if err := p.call("GET", fmt.Sprintf("/v1/tenant/%s/timeline/%s", testTimeline.Tenant, testTimeline.Timeline), nil, &info); err != nil {
		p.t.Fatal(err)
	}
	return info
}

func (p *pserver) reaches(lsn core.LSN) {
	p.t.Helper()
	p.eventually("last record "+lsn.String(), func() error {
		if info := p.info(); info.LastRecord != lsn {
			return fmt.Errorf("last record %s, %+v", info.LastRecord, info.Receiver)
		}
		return nil
	})
}

func (p *pserver) dial() *wire.Client {
	p.t.Helper()
	c, err := wire.Connect(p.env.Context(), p.env, p.addr, wire.ClientConfig{Limit: 1 << 20})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	if err := c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", testTimeline.Tenant, testTimeline.Timeline)); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// ask pipelines requests and returns the answers, whose order it checks.
func ask(t *testing.T, c *wire.Client, reqs ...wire.PageRequest) []wire.PageReply {
	t.Helper()
	for i := range reqs {
		reqs[i].ID = uint64(i) + 100
		c.CopyData(reqs[i].Append(nil), nil)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	var out []wire.PageReply
	for i := range reqs {
		body, err := c.ReadCopy()
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.DecodePageReply(body)
		if err != nil {
			t.Fatal(err)
		}
		if r.Request.ID != reqs[i].ID {
			t.Fatalf("answer %d is to request %d", i, r.Request.ID-100)
		}
		r.Pages = append([]byte(nil), r.Pages...)
		out = append(out, r)
	}
	return out
}

// pageRequest asks for block 0 as of an LSN.
func pageRequest(lsn core.LSN) wire.PageRequest {
	return wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel}
}

// longScript is a history of n records.
func longScript(t *testing.T, w *world, n int) *script {
	s := newScript(w)
	rng := rand.New(rand.NewPCG(42, 42))
	for len(s.recs) < n {
		s.step(t, rng.IntN)
	}
	return s
}

func (s *script) last() core.LSN { return s.lsns[len(s.lsns)-1] }

func TestPageService(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 300)
	p := w.run(t, t.TempDir())
	p.attach(newKeeper(t, s, s.last()))
	p.reaches(s.last())
	c := p.dial()
	// Every page as of every record, in batches that other requests break.
	for i, lsn := range s.lsns {
		if i%10 != 0 {
			continue
		}
		n := s.states[lsn].Sizes[core.BlockKey(heapRel, 0)]
		var reqs []wire.PageRequest
		for blk := range n {
			reqs = append(reqs, wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel, Block: blk})
		}
		reqs = append(reqs, wire.PageRequest{Kind: wire.PageBlocks, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel},
			wire.PageRequest{Kind: wire.PageExists, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel},
			wire.PageRequest{Kind: wire.PageSLRUSegment, LSN: lsn, NotModifiedSince: lsn, SLRU: core.Clog},
			wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel, Block: n + 5})
		got := ask(t, c, reqs...)
		for blk := range n {
			want, _ := s.states[lsn].Page(heapRel, blk)
			if redo.Page(got[blk].Pages) != want {
				t.Errorf("as of %s block %d differs", lsn, blk)
			}
		}
		clog, _ := s.states[lsn].SLRUPage(core.Clog, 0, 0)
		_, exists := s.states[lsn].Sizes[core.BlockKey(heapRel, 0)]
		if !exists {
			continue
		}
		if got[n].Blocks != n || !got[n+1].Exists || string(got[n+2].Pages) != string(clog[:]) || redo.Page(got[n+3].Pages) != (redo.Page{}) {
			t.Errorf("as of %s: blocks %d of %d, exists %v, %d bytes of pg_xact", lsn, got[n].Blocks, n, got[n+1].Exists, len(got[n+2].Pages))
		}
	}
	t.Run("LSN rules", func(t *testing.T) { checkLSNRules(t, s, c) })
	t.Run("bad requests", func(t *testing.T) { checkBadRequests(t, s, p) })
	t.Run("boot", func(t *testing.T) { checkBootRoutes(t, s, p) })
}

func checkLSNRules(t *testing.T, s *script, c *wire.Client) {
	last := s.last()
	tests := []struct {
		name           string
		lsn, since     core.LSN
		wantErr        string
		wantRead, more core.LSN
	}{
		{"zero is no LSN", 0, 0, "bad LSN", 0, 0},
		{"an LSN below its not-modified-since", last - 8, last, "bad LSN", 0, 0},
		{"below the base", 8, 8, "begins", 0, 0},
		{"the newest of all", core.LSN(1<<64 - 1), s.lsns[0], "", last, 0},
		{"an LSN above what is there, page old", last + 1000, s.lsns[0], "", last, 0},
		{"an old LSN", s.lsns[10], s.lsns[10], "", s.lsns[10], 0},
	}
	for _, q := range tests {
		r := ask(t, c, wire.PageRequest{Kind: wire.PageGet, LSN: q.lsn, NotModifiedSince: q.since, Rel: heapRel})[0]
		if q.wantErr != "" {
			if r.Request.Kind != wire.PageError || !strings.Contains(r.Message, q.wantErr) {
				t.Errorf("%s: %s %q, want an error with %q", q.name, r.Request.Kind, r.Message, q.wantErr)
			}
			continue
		}
		want, ok := s.states[q.wantRead].Page(heapRel, 0)
		if ok && (r.Request.Kind != wire.PageGet || redo.Page(r.Pages) != want) {
			t.Errorf("%s: %s %q, want the page as of %s", q.name, r.Request.Kind, r.Message, q.wantRead)
		}
	}
}

func checkBadRequests(t *testing.T, s *script, p *pserver) {
	c := p.dial()
	r := ask(t, c, wire.PageRequest{Kind: wire.PageGet, LSN: s.last(), NotModifiedSince: s.last(), Rel: core.Rel{Spc: 1663, DB: 5, Node: 99}})[0]
	if !strings.Contains(r.Message, "1663/5/99") {
		t.Errorf("an unknown relation: %q, want its name", r.Message)
	}
	// A request that cannot be read ends the stream with an error.
	c.CopyData([]byte{77, 1, 2}, nil)
	c.Flush()
	if _, err := c.ReadCopy(); err == nil || !strings.Contains(err.Error(), "77") {
		t.Errorf("a malformed request: %v, want an error that names its tag", err)
	}
	c, err := wire.Connect(p.env.Context(), p.env, p.addr, wire.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sql := range []string{"pagestream_v3", "pagestream_v3 xx yy", "SELECT 1", "", "pagestream_v3 " + testTimeline.Tenant.String() + " " + testTimeline.Tenant.String()} {
		if err := c.CopyBoth(sql); err == nil {
			t.Errorf("%q was accepted", sql)
		}
	}
	for _, path := range []string{"/v1/tenant/x/timeline/y", "/v1/tenant/" + testTimeline.Tenant.String() + "/timeline/" + strings.Repeat("0", 32), "/nothing"} {
		var status *http1.StatusError
		if err := p.call("GET", path, nil, nil); !errors.As(err, &status) || status.Status != 404 {
			t.Errorf("GET %s: %v, want 404", path, err)
		}
	}
}

func checkBootRoutes(t *testing.T, s *script, p *pserver) {
	for _, lsn := range []core.LSN{s.lsns[0], s.lsns[len(s.lsns)/2], s.last()} {
		var set bootset.Set
		if err := p.call("GET", bootset.Path(testTimeline, lsn), nil, &set); err != nil {
			t.Fatal(err)
		}
		d := bootset.Database{Spc: 1663, DB: 5}
		b, err := http1.Do(p.env.Context(), p.env, p.addr, "GET", bootset.RelationsPath(testTimeline, lsn, d), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		rels, err := bootset.DecodeRelations(b, d)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for first, n := range s.states[lsn].Sizes {
			r, _, ok := core.BlockOfKey(first)
			if !ok || r.DB != 5 {
				continue
			}
			want++
			found := false
			for _, got := range rels {
				found = found || got.Rel == r && got.Blocks == n
			}
			if !found {
				t.Errorf("as of %s: %s of %d blocks is not in the list", lsn, r, n)
			}
		}
		if len(rels) != want || set.LSN != lsn || set.SystemID != testSystem || len(set.SLRUs) != 3 {
			t.Errorf("as of %s: %d relations, want %d; %+v", lsn, len(rels), want, set)
		}
	}
}

// TestReceiverChangesSafekeepers drives a receiver through safekeepers that
// die, fall silent, lag and lie; each record is ingested once.
func TestReceiverChangesSafekeepers(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 400)
	a, b, c := newKeeper(t, s, s.begin), newKeeper(t, s, s.begin), newKeeper(t, s, s.begin)
	p := w.run(t, t.TempDir())
	p.attach(a, b, c)
	part := func(i int) core.LSN { return s.lsns[len(s.lsns)*i/8-1] }

	// One cuts every stream in the middle of a record.
	for _, k := range []*keeper{a, b, c} {
		k.set(func() { k.cut, k.commit = 3, part(1) })
	}
	p.reaches(part(1))
	if n := p.info().Receiver.Streams; n < 3 {
		t.Errorf("%d streams were started, want many", n)
	}
	// The one that is streamed from lags behind, keepalives going on.
	for _, k := range []*keeper{a, b, c} {
		k.set(func() { k.cut = 0 })
	}
	p.eventually("a stream that stays", func() error {
		if src := p.info().Receiver; src.Source == "" {
			return errors.New("no source")
		}
		return nil
	})
	for _, k := range []*keeper{a, b, c} {
		if k.addr != p.info().Receiver.Source {
			k.set(func() { k.commit = part(2) })
		}
	}
	p.reaches(part(2))
	// It falls silent.
	for _, k := range []*keeper{a, b, c} {
		k.set(func() { k.silent = k.addr == p.info().Receiver.Source; k.commit = part(3) })
	}
	p.reaches(part(3))
	// One sends rubbish, the others are well.
	a.set(func() { a.silent, a.flip, a.commit = false, true, part(5) })
	b.set(func() { b.silent, b.commit = false, part(4) })
	c.set(func() { c.silent, c.commit = false, part(5) })
	p.reaches(part(5))
	// Two die.
	a.l.Close()
	b.l.Close()
	a.env.Close()
	b.env.Close()
	c.set(func() { c.commit = s.last() })
	p.reaches(s.last())
	p.checkAll(s)
}

// checkAll compares the heap's pages as of all records.
func (p *pserver) checkAll(s *script) {
	p.t.Helper()
	c := p.dial()
	for _, lsn := range s.lsns {
		for blk := range s.states[lsn].Sizes[core.BlockKey(heapRel, 0)] {
			r := ask(p.t, c, wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel, Block: blk})[0]
			if want, _ := s.states[lsn].Page(heapRel, blk); r.Request.Kind != wire.PageGet || redo.Page(r.Pages) != want {
				p.t.Errorf("as of %s block %d differs (%s)", lsn, blk, r.Message)
			}
		}
	}
}

// TestRestart: what was attached is attached again, and made anew from the
// base and the safekeepers, in a new directory too once it is attached there.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 100)
	k := newKeeper(t, s, s.last())
	dir := t.TempDir()
	p := w.run(t, dir)
	p.attach(k)
	p.reaches(s.last())
	p.env.Close()
	if err := <-p.done; err == nil {
		t.Error("Run returned nil")
	}
	p = w.run(t, dir)
	p.eventually("the timeline is attached", func() error {
		return p.call("GET", fmt.Sprintf("/v1/tenant/%s/timeline/%s", testTimeline.Tenant, testTimeline.Timeline), nil, nil)
	})
	p.reaches(s.last())
	p.checkAll(s)
	p.env.Close()
	<-p.done
	p = w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(s.last())
	p.checkAll(s)
}

// TestRestartWithoutTheStore: a pageserver that cannot attach yet what was
// attached says so by a status that asks to come again, because a server that
// runs meanwhile is to wait, not to fail. What nobody attached is not found.
func TestRestartWithoutTheStore(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 10)
	dir := t.TempDir()
	p := w.run(t, dir)
	p.attach(newKeeper(t, s, s.last()))
	p.env.Close()
	<-p.done
	away := &world{store: newStore(t)}
	p = away.run(t, dir)
	status := func(timeline core.TimelineID) int {
		err := p.call("GET", fmt.Sprintf("/v1/tenant/%s/timeline/%s/boot?lsn=%s", testTimeline.Tenant, timeline, s.last()), nil, nil)
		var answer *http1.StatusError
		if !errors.As(err, &answer) {
			t.Fatalf("boot of timeline %s: %v", timeline, err)
		}
		return answer.Status
	}
	if got := status(testTimeline.Timeline); got != http.StatusServiceUnavailable {
		t.Errorf("status %d of a timeline that is to be attached, want %d", got, http.StatusServiceUnavailable)
	}
	if got := status(core.TimelineID{9}); got != http.StatusNotFound {
		t.Errorf("status %d of an unknown timeline, want %d", got, http.StatusNotFound)
	}
}

// TestWaits: a request for an LSN that was not reached waits for it, and says
// both LSNs when it gives up.
func TestWaits(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 50)
	tl := w.open(t)
	defer tl.Close()
	ctx := context.Background()
	at, last := s.lsns[20], tl.LastRecord().LSN
	_, err := tl.ReadLSN(ctx, at, at, 20*time.Millisecond)
	if !errors.Is(err, pageserver.ErrBehind) || !strings.Contains(err.Error(), at.String()) || !strings.Contains(err.Error(), last.String()) {
		t.Fatalf("%v, want %v with %s and %s", err, pageserver.ErrBehind, at, last)
	}
	got := make(chan core.LSN, 1)
	w.env.Go("reader", func(ctx context.Context) {
		lsn, err := tl.ReadLSN(ctx, core.LSN(1<<64-1), at, time.Minute)
		if err != nil {
			t.Error(err)
		}
		got <- lsn
	})
	for _, rec := range s.recs {
		if err := tl.Ingest(rec); err != nil {
			t.Fatal(err)
		}
	}
	// If the reader came late, it did not wait, and got what there was.
	if lsn := <-got; lsn < at {
		t.Errorf("the request was answered as of %s, want %s at least", lsn, at)
	}
}

func pageserverAttach(keepers []*safekeeperAt) pageserver.AttachRequest {
	req := pageserver.AttachRequest{Timeline: testTimeline.Timeline}
	for _, k := range keepers {
		req.Safekeepers = append(req.Safekeepers, k.addr)
	}
	return req
}
