package pageclient

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wire"
	"xenon/core/xsync"
)

// replyLimit is the longest answer that is taken: a full segment of an SLRU,
// 32 pages, and its head.
const replyLimit = core.SLRUSegmentPages*core.PageSize + 1024

// A call is one request and where its answer goes.
type call struct {
	req wire.PageRequest
	dst []byte // of a page

	got    []byte // of an SLRU segment
	blocks uint32
	exists bool

	of *batch
}

// A batch is the calls that one asker waits for. The connection's lock guards
// it.
type batch struct {
	left int
	err  error
	// over tells that nobody waits any more: answers are dropped, and what the
	// calls point to is not touched.
	over bool
	done *xsync.Watch[bool]
}

// A conn is one connection to the pageserver, over and over.
type conn struct {
	client *Client
	wanted *xsync.Watch[bool] // somebody asked; from then on it stays connected

	mu     sync.Mutex // leaf; guards what follows
	lastID uint64
	// open are the calls without an answer, in the order of their ids; the
	// first sent of them are on the stream.
	open    []*call
	sent    int
	stream  *wire.Client // nil while there is none
	sending bool         // a task writes to a stream
	ended   error        // why nothing is answered any more
}

// ask sends calls and waits for their answers.
func (cn *conn) ask(ctx context.Context, calls []call) error {
	b := &batch{left: len(calls), done: xsync.NewWatch(cn.client.env, false)}
	if len(calls) == 0 {
		return nil
	}
	cn.mu.Lock()
	if cn.ended != nil {
		cn.mu.Unlock()
		return cn.ended
	}
	for i := range calls {
		cn.lastID++
		calls[i].req.ID, calls[i].of = cn.lastID, b
		cn.open = append(cn.open, &calls[i])
	}
	idle := cn.stream == nil
	cn.mu.Unlock()
	if idle {
		cn.wanted.Set(true)
	}
	cn.send()
	_, err := b.done.Await(ctx, func(done bool) bool { return done })
	cn.mu.Lock()
	defer cn.mu.Unlock()
	b.over = true
	if err != nil {
		return err
	}
	return b.err
}

// send writes what is queued, unless another task does: that one takes it
// along.
func (cn *conn) send() {
	for {
		stream := cn.queue()
		if stream == nil {
			return
		}
		err := stream.Flush()
		cn.mu.Lock()
		cn.sending = false
		cn.mu.Unlock()
		if err != nil {
			// The reader finds out, and makes another.
			stream.Close()
		}
	}
}

// queue puts the requests on the stream that are not there yet.
func (cn *conn) queue() *wire.Client {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.stream == nil || cn.sending || cn.sent == len(cn.open) {
		return nil
	}
	var buf [64]byte
	for _, cl := range cn.open[cn.sent:] {
		cn.stream.CopyData(cl.req.Append(buf[:0]), nil)
	}
	cn.sent, cn.sending = len(cn.open), true
	return cn.stream
}

// run keeps the connection until ctx ends, and then fails who waits for it.
func (cn *conn) run(ctx context.Context) error {
	err := cn.keep(ctx)
	cn.mu.Lock()
	cn.ended = fmt.Errorf("page stream from %s: %w", cn.client.cfg.Addr, err)
	var waiting []*batch
	for _, cl := range cn.open {
		if b := cl.of; !b.over {
			b.err, b.over = cn.ended, true
			waiting = append(waiting, b)
		}
	}
	cn.open, cn.sent = nil, 0
	cn.mu.Unlock()
	for _, b := range waiting {
		b.done.Set(true)
	}
	return err
}

func (cn *conn) keep(ctx context.Context) error {
	e := cn.client.env
	said := ""
	for try := 0; ; try++ {
		if _, err := cn.wanted.Await(ctx, func(w bool) bool { return w }); err != nil {
			return err
		}
		answered, err := cn.serve(ctx)
		if cause := xsync.Cause(ctx); cause != nil {
			return cause
		}
		if answered {
			try, said = 0, ""
		}
		if text := err.Error(); text != said {
			e.Log().Warn("page stream broke; connecting again", "error", err)
			said = text
		}
		if err := e.Clock().Sleep(ctx, backoff(try)); err != nil {
			return err
		}
	}
}

// serve is the life of one stream. It tells whether any answer came.
func (cn *conn) serve(ctx context.Context) (answered bool, err error) {
	c := cn.client
	stream, err := wire.Connect(ctx, c.env, c.cfg.Addr, wire.ClientConfig{
		ApplicationName: "xenon compute", TTID: c.cfg.TTID, Timeout: replyTimeout, Limit: replyLimit,
	})
	if err != nil {
		return false, err
	}
	defer stream.Close()
	defer wire.CloseOn(ctx, stream)()
	if err := stream.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", c.cfg.TTID.Tenant, c.cfg.TTID.Timeline)); err != nil {
		return false, fmt.Errorf("page stream from %s: %w", c.cfg.Addr, err)
	}
	cn.attach(stream)
	defer cn.attach(nil)
	cn.send()
	for {
		asked := c.env.Clock().Mono()
		stream.NetConn().SetReadDeadline(c.env.Clock().Now().Add(replyTimeout))
		body, err := stream.ReadCopy()
		// A connection that was given up reads as a timeout, too, at once and
		// for ever: only one that took its time was our deadline.
		waited := c.env.Clock().Mono().Sub(asked) >= replyTimeout/2
		if errors.Is(err, env.ErrTimeout) && waited && cn.idle() {
			continue
		}
		if err != nil {
			return answered, err
		}
		if err := cn.answer(body); err != nil {
			return answered, err
		}
		answered = true
	}
}

// attach makes stream the one that requests go to. Everything open is asked
// again on a new one, but for what nobody waits for.
func (cn *conn) attach(stream *wire.Client) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	cn.stream, cn.sent = stream, 0
	keep := cn.open[:0]
	for _, cl := range cn.open {
		if !cl.of.over {
			keep = append(keep, cl)
		}
	}
	clear(cn.open[len(keep):])
	cn.open = keep
}

func (cn *conn) idle() bool {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	return cn.sent == 0
}

// answer gives an answer to the oldest call: a pageserver answers in order.
func (cn *conn) answer(body []byte) error {
	reply, err := wire.DecodePageReply(body)
	if err != nil {
		return err
	}
	b, err := cn.settle(&reply)
	if err != nil {
		return err
	}
	if b != nil {
		b.done.Set(true)
	}
	return nil
}

// settle returns the batch that is done with this answer, if any.
func (cn *conn) settle(reply *wire.PageReply) (*batch, error) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.sent == 0 {
		return nil, fmt.Errorf("page stream: answer %d to no request", reply.Request.ID)
	}
	cl := cn.open[0]
	if !cl.answeredBy(reply) {
		return nil, fmt.Errorf("page stream: answer %d (%s) to request %d (%s)", reply.Request.ID, reply.Request.Kind, cl.req.ID, cl.req.Kind)
	}
	cn.open[0] = nil
	cn.open = cn.open[1:]
	cn.sent--
	return cl.settle(reply), nil
}

// answeredBy checks that an answer repeats its request; that of an error has
// the id alone.
func (cl *call) answeredBy(reply *wire.PageReply) bool {
	if faults.On && faults.Hit(faults.ReplyUnmatched) {
		return true
	}
	if reply.Request.Kind == wire.PageError {
		return reply.Request.ID == cl.req.ID
	}
	return reply.Request == cl.req
}

func (cl *call) settle(reply *wire.PageReply) *batch {
	b := cl.of
	if b.over {
		return nil
	}
	switch reply.Request.Kind {
	case wire.PageError:
		b.err = fmt.Errorf("%w: %s", ErrRefused, reply.Message)
		b.over = true
		return b
	case wire.PageGet:
		core.Must(len(cl.dst) == core.PageSize, "a page is answered into %d bytes", len(cl.dst))
		copy(cl.dst, reply.Pages)
	case wire.PageSLRUSegment:
		cl.got = append([]byte(nil), reply.Pages...)
	case wire.PageBlocks:
		cl.blocks = reply.Blocks
	case wire.PageExists:
		cl.exists = reply.Exists
	}
	if b.left--; b.left > 0 {
		return nil
	}
	return b
}
