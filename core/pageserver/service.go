package pageserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wire"
)

// maxBatch is how many pages are made together
// (neondatabase/neon: max_batch_size of page_service_pipelining).
const maxBatch = 32

// servePG is one connection of PostgreSQL's protocol.
func (n *node) servePG(ctx context.Context, c net.Conn) {
	defer wire.CloseOn(ctx, c)()
	s, err := wire.Accept(c, 0)
	if err != nil {
		return
	}
	s.Serve(ctx, func(ctx context.Context, s *wire.Session, sql string) error { return n.query(ctx, c, s, sql) })
}

// query carries out one command.
func (n *node) query(ctx context.Context, c net.Conn, s *wire.Session, sql string) error {
	words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(sql), ";"))
	if len(words) == 0 {
		return wire.Errorf(wire.CodeSyntax, "empty command: want pagestream_v3 TENANT TIMELINE")
	}
	switch strings.ToLower(words[0]) {
	case "pagestream_v3":
		if len(words) != 3 {
			return wire.Errorf(wire.CodeSyntax, "%q: want pagestream_v3 TENANT TIMELINE", sql)
		}
		a, err := n.lookup(words[1], words[2])
		if err == nil && !a.users.Enter() {
			err = fmt.Errorf("%w any more: %s", errNotAttached, a.t.id)
		}
		if err != nil {
			return wire.Errorf(wire.CodeConnection, "%v", err)
		}
		defer a.users.Leave()
		// The stream ends with the timeline, too, whatever it waits for.
		ctx, stop := a.within(ctx)
		defer stop()
		defer wire.CloseOn(a.tasks.Context(), c)()
		return n.servePages(ctx, s, a.t)
	case "set":
		s.Complete("SELECT 1")
		return nil
	}
	return wire.Errorf(wire.CodeSyntax, "unknown command %q: want pagestream_v3 TENANT TIMELINE", words[0])
}

// servePages answers requests in their order until the client ends the stream.
func (n *node) servePages(ctx context.Context, s *wire.Session, t *Timeline) error {
	if err := s.CopyBoth(); err != nil {
		return err
	}
	p := &pageStream{t: t, s: s, timeout: n.cfg.waitLSN()}
	for {
		err := p.next(ctx)
		if errors.Is(err, io.EOF) {
			return s.EndCopy()
		}
		if err != nil {
			return err
		}
	}
}

// A pageStream is one connection's requests and the memory that they use.
type pageStream struct {
	t       *Timeline
	s       *wire.Session
	timeout time.Duration

	reqs  []wire.PageRequest // the GetPage requests at hand
	at    []PageAt
	whose []int
	errs  []error
	pages []redo.Page
	fail  []error // of reqs, before pages are asked for
	head  []byte
	reply wire.PageReply
}

// next reads one request and, after a GetPage, those that wait behind it up to
// the first of another kind, and answers them by one write.
func (p *pageStream) next(ctx context.Context) error {
	p.reqs = p.reqs[:0]
	for {
		body, err := p.s.ReadCopy()
		if err != nil {
			if len(p.reqs) > 0 && errors.Is(err, io.EOF) {
				if err := p.answerPages(ctx); err != nil {
					return err
				}
			}
			return err
		}
		q, err := wire.DecodePageRequest(body)
		if err != nil {
			return err
		}
		if q.Kind != wire.PageGet {
			if err := p.answerPages(ctx); err != nil {
				return err
			}
			p.answer(ctx, &q)
			return p.flush()
		}
		p.reqs = append(p.reqs, q)
		if len(p.reqs) == maxBatch || !p.s.Buffered() {
			return p.answerPages(ctx)
		}
	}
}

func (p *pageStream) flush() error {
	if err := p.s.Flush(); err != nil {
		return &wire.ConnError{Err: err}
	}
	return nil
}

// answerPages answers the GetPage requests at hand.
func (p *pageStream) answerPages(ctx context.Context) error {
	if len(p.reqs) == 0 {
		return nil
	}
	if n := len(p.reqs); n > len(p.pages) { // most connections never ask for many at once
		n = min(maxBatch, max(n, 2*len(p.pages)))
		p.pages, p.errs, p.fail = make([]redo.Page, n), make([]error, n), make([]error, n)
	}
	p.at, p.whose = p.at[:0], p.whose[:0]
	for i := range p.reqs {
		q := &p.reqs[i]
		var lsn core.LSN
		if lsn, p.fail[i] = p.t.ReadLSN(ctx, q.LSN, q.NotModifiedSince, p.timeout); p.fail[i] == nil {
			p.at = append(p.at, PageAt{q.Rel, q.Block, lsn})
			p.whose = append(p.whose, i)
		}
	}
	p.t.GetPages(ctx, p.at, p.pages[:len(p.at)], p.errs[:len(p.at)])
	next := 0
	for i := range p.reqs {
		err := p.fail[i]
		var page []byte
		if next < len(p.whose) && p.whose[next] == i {
			err, page = p.errs[next], p.pages[next][:]
			next++
		}
		p.send(&p.reqs[i], err, wire.PageReply{Pages: page})
	}
	p.reqs = p.reqs[:0]
	return p.flush()
}

// send queues one answer, an error if err is one.
func (p *pageStream) send(q *wire.PageRequest, err error, reply wire.PageReply) {
	p.reply = reply
	p.reply.Request = *q
	if err != nil {
		p.reply = wire.PageReply{Request: *q, Message: err.Error()}
		p.reply.Request.Kind = wire.PageError
	}
	p.head = p.reply.AppendHead(p.head[:0])
	p.s.CopyData(p.head, p.reply.Pages)
}

// answer queues the answer to a request that is not a GetPage.
func (p *pageStream) answer(ctx context.Context, q *wire.PageRequest) {
	lsn, err := p.t.ReadLSN(ctx, q.LSN, q.NotModifiedSince, p.timeout)
	if err != nil {
		p.send(q, err, wire.PageReply{})
		return
	}
	var reply wire.PageReply
	switch q.Kind {
	case wire.PageExists:
		reply.Exists = p.t.Exists(q.Rel, lsn)
	case wire.PageBlocks:
		reply.Blocks, err = p.t.RelSize(q.Rel, lsn)
	case wire.PageDBSize:
		reply.Bytes = p.t.DBSize(q.Rel.DB, lsn)
	case wire.PageSLRUSegment:
		reply.Pages, err = p.t.SLRUSegment(ctx, q.SLRU, q.Segment, lsn)
		reply.Blocks = uint32(len(reply.Pages) / core.PageSize)
	}
	p.send(q, err, reply)
}
