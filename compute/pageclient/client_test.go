package pageclient_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/compute/pageclient"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/core/wire/port"
	"xenon/core/xsync"
	"xenon/realio"
)

const bootLSN = core.LSN(0x1000)

var ttid = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}

// A server is a page server that does what a test wants.
type server struct {
	env  *realio.Env
	addr string

	mu      sync.Mutex
	conns   int
	answers int
	seen    []wire.PageRequest
	// reply may change an answer, or end the connection with false.
	reply func(s *server, r *wire.PageReply) bool
	// swap answers pairs of requests in the wrong order.
	swap bool
	http http.HandlerFunc
}

// page is what the server has under a block: its LSN and a text.
func page(r core.Rel, blk uint32) []byte {
	b := make([]byte, core.PageSize)
	binary.LittleEndian.PutUint32(b[4:], uint32(bootLSN)-8)
	copy(b[24:], fmt.Sprintf("%s/%d", r, blk))
	return b
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{env: realio.New(realio.Options{Grace: time.Millisecond})}
	t.Cleanup(func() { s.env.Close() })
	l, err := s.env.Net().Listen(s.env.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.env.Go("page server", func(ctx context.Context) {
		port.Serve(ctx, s.env, l, port.Handlers{PG: s.serve, HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.http(w, r) })})
	})
	return s
}

func (s *server) serve(ctx context.Context, c net.Conn) {
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	sess, err := wire.Accept(c, 0)
	if err != nil {
		return
	}
	sess.Serve(ctx, func(_ context.Context, sess *wire.Session, sql string) error {
		if want := fmt.Sprintf("pagestream_v3 %s %s", ttid.Tenant, ttid.Timeline); sql != want {
			return wire.Errorf(wire.CodeSyntax, "%q, want %q", sql, want)
		}
		if err := sess.CopyBoth(); err != nil {
			return err
		}
		return s.pages(sess)
	})
}

func (s *server) pages(sess *wire.Session) error {
	var held []wire.PageReply
	for {
		body, err := sess.ReadCopy()
		if err != nil {
			return err
		}
		req, err := wire.DecodePageRequest(body)
		if err != nil {
			return err
		}
		r, ok := s.answer(req)
		if !ok {
			return &wire.ConnError{Err: errors.New("the test ends this connection")}
		}
		held = append([]wire.PageReply{r}, held...)
		if s.swap && len(held) < 2 {
			continue
		}
		for _, r := range held {
			sess.CopyData(r.AppendHead(nil), r.Pages)
		}
		held = nil
		if err := sess.Flush(); err != nil {
			return &wire.ConnError{Err: err}
		}
	}
}

func (s *server) answer(req wire.PageRequest) (r wire.PageReply, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	s.seen = append(s.seen, req)
	r.Request = req
	switch req.Kind {
	case wire.PageGet:
		r.Pages = page(req.Rel, req.Block)
	case wire.PageBlocks:
		r.Blocks = 42
	case wire.PageExists:
		r.Exists = req.Rel.Node == 1
	case wire.PageSLRUSegment:
		r.Blocks, r.Pages = 32, bytes.Repeat([]byte{byte(req.Segment)}, 32*core.PageSize)
	}
	return r, s.reply == nil || s.reply(s, &r)
}

func newClient(t *testing.T, s *server, conns int) *pageclient.Client {
	t.Helper()
	c := pageclient.New(s.env.Context(), s.env, pageclient.Config{Addr: s.addr, TTID: ttid, Boot: bootLSN, Connections: conns})
	t.Cleanup(c.Close)
	return c
}

var testRel = core.Rel{Spc: 1663, DB: 5, Node: 1}

// checkPages reads pages and checks that they are those asked for.
func checkPages(ctx context.Context, c *pageclient.Client, r core.Rel, first uint32, n int) error {
	got := make([]byte, n*core.PageSize)
	if err := c.ReadPages(ctx, r, first, got); err != nil {
		return err
	}
	for i := range n {
		if !bytes.Equal(got[i*core.PageSize:(i+1)*core.PageSize], page(r, first+uint32(i))) {
			return fmt.Errorf("block %d of %s is another page", first+uint32(i), r)
		}
	}
	return nil
}

func TestRequests(t *testing.T) {
	s := newServer(t)
	c := newClient(t, s, 1)
	ctx := t.Context()
	if err := checkPages(ctx, c, testRel, 7, 20); err != nil {
		t.Fatal(err)
	}
	for _, req := range s.seen {
		if req.LSN != bootLSN || req.NotModifiedSince != bootLSN {
			t.Fatalf("asked for %+v before anything was reported", req)
		}
	}
	if n, err := c.Blocks(ctx, testRel); n != 42 || err != nil {
		t.Errorf("blocks %d, %v", n, err)
	}
	if ok, err := c.Exists(ctx, testRel); !ok || err != nil {
		t.Errorf("exists %v, %v", ok, err)
	}
	b, err := c.SLRUSegment(ctx, core.Clog, 3)
	if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{3}, 32*core.PageSize)) {
		t.Errorf("SLRU segment of %d bytes, %v", len(b), err)
	}
	c.Advance(0x3000)
	c.Advance(0x2000)
	if err := checkPages(ctx, c, testRel, 1, 1); err != nil {
		t.Fatal(err)
	}
	if last := s.seen[len(s.seen)-1]; last.LSN != 0x3000 || last.NotModifiedSince != bootLSN {
		t.Errorf("asked for %+v after 0/3000 was reported", last)
	}
	if s.conns != 1 {
		t.Errorf("%d connections", s.conns)
	}
}

// TestCloseEndsWaits: a reader that waits for a pageserver which never answers
// learns that the client was closed, and one that comes later too.
func TestCloseEndsWaits(t *testing.T) {
	s := newServer(t)
	asked := make(chan struct{}, 1)
	s.reply = func(*server, *wire.PageReply) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return false
	}
	c := newClient(t, s, 1)
	failed := make(chan error)
	go func() { failed <- checkPages(context.Background(), c, testRel, 7, 20) }()
	<-asked
	c.Close()
	for _, when := range []string{"before", "after"} {
		select {
		case err := <-failed:
			if !errors.Is(err, xsync.ErrClosed) {
				t.Errorf("a read %s Close ends with %v", when, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("a read %s Close waits for ever", when)
		}
		go func() { failed <- checkPages(context.Background(), c, testRel, 7, 20) }()
	}
	<-failed
}

// TestManyAskers has connections break in the middle of everything: every
// asker gets its own pages all the same.
func TestManyAskers(t *testing.T) {
	s := newServer(t)
	s.reply = func(s *server, _ *wire.PageReply) bool { return s.answers%37 != 0 }
	c := newClient(t, s, 2)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			r := testRel
			r.Node = core.OID(i + 1)
			for blk := range uint32(20) {
				if err := checkPages(t.Context(), c, r, blk, 1+int(blk)%3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s.conns < 5 {
		t.Errorf("%d connections: the server broke none", s.conns)
	}
}

func TestErrors(t *testing.T) {
	fail := func(n int) func(*server, *wire.PageReply) bool {
		return func(s *server, r *wire.PageReply) bool {
			if s.answers <= n {
				r.Request.Kind, r.Message, r.Pages = wire.PageError, "relation 1663/5/1 does not exist", nil
			}
			return true
		}
	}
	t.Run("an error that passes", func(t *testing.T) {
		s := newServer(t)
		s.reply = fail(2)
		if err := checkPages(t.Context(), newClient(t, s, 1), testRel, 0, 4); err != nil {
			t.Error(err)
		}
	})
	t.Run("an error that stays", func(t *testing.T) {
		s := newServer(t)
		s.reply = fail(1000)
		err := checkPages(t.Context(), newClient(t, s, 1), testRel, 3, 4)
		if !errors.Is(err, pageclient.ErrRefused) || !strings.Contains(err.Error(), "1663/5/1 from block 3") {
			t.Error(err)
		}
	})
	t.Run("a page of the future", func(t *testing.T) {
		s := newServer(t)
		s.reply = func(_ *server, r *wire.PageReply) bool {
			binary.LittleEndian.PutUint32(r.Pages[4:], uint32(bootLSN)+8)
			return true
		}
		if err := checkPages(t.Context(), newClient(t, s, 1), testRel, 3, 1); !errors.Is(err, env.ErrCorrupt) {
			t.Error(err)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		s := newServer(t)
		s.reply = func(*server, *wire.PageReply) bool { return false }
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := checkPages(ctx, newClient(t, s, 1), testRel, 3, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// swapped asks for two pages of a server that answers them in the wrong order.
func swapped(t *testing.T) error {
	s := newServer(t)
	s.swap = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return checkPages(ctx, newClient(t, s, 1), testRel, 0, 2)
}

func TestAnswersInTheWrongOrderAreRefused(t *testing.T) {
	if err := swapped(t); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want no answer at all", err)
	}
}

func TestBootAndRelations(t *testing.T) {
	s := newServer(t)
	db := bootset.Database{Spc: 1663, DB: 5}
	rels := []bootset.Relation{{Rel: testRel, Blocks: 9}}
	tries := 0
	s.http = func(w http.ResponseWriter, r *http.Request) {
		tries++
		switch path := r.URL.RequestURI(); {
		case tries < 3:
			http1.WriteError(w, http.StatusServiceUnavailable, errors.New("starting"))
		case tries < 6:
			http1.WriteError(w, http.StatusInternalServerError, errors.New("ingest has stopped"))
		case path == bootset.Path(ttid, bootLSN):
			http1.WriteJSON(w, bootset.Set{LSN: bootLSN, SystemID: 7})
		case path == bootset.RelationsPath(ttid, bootLSN, db):
			w.Write(bootset.AppendRelations(nil, rels))
		default:
			http1.WriteError(w, http.StatusNotFound, fmt.Errorf("no such timeline: %s", path))
		}
	}
	var told []string
	set, err := pageclient.FetchBoot(t.Context(), s.env, s.addr, ttid, bootLSN, func(why error) { told = append(told, why.Error()) })
	if err != nil || set.SystemID != 7 {
		t.Errorf("%+v, %v", set, err)
	}
	if len(told) != 2 || !strings.Contains(told[0], "starting") || !strings.Contains(told[1], "ingest has stopped") {
		t.Errorf("why it waited was told as %q", told)
	}
	got, err := newClient(t, s, 1).Relations(t.Context(), db)
	if err != nil || len(got) != 1 || got[0] != rels[0] {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := pageclient.FetchBoot(t.Context(), s.env, s.addr, core.TTID{}, bootLSN, nil); err == nil || !strings.Contains(err.Error(), "no such timeline") {
		t.Errorf("unknown timeline: %v", err)
	}
}
