// Package pageclient asks a pageserver for what a server reads and did not
// write: pages, lists of relations, segments of SLRUs, and the files it boots
// with.
//
// Many requests are outstanding at once on few connections, in pagestream v3:
// whoever asks writes its request itself, together with those that others
// queued meanwhile, and one task a connection reads the answers. A connection
// that breaks is made again and everything unanswered asked again: a read
// waits for the pageserver as long as its caller wants to. Start at [Client].
//
// Which version is asked for: an overlay keeps every page written, so a page
// that is asked for has not been written since the boot LSN X. It was not
// modified since X, and may be read at any later LSN of this server's own
// history, never at "latest", which could be the history of a successor.
package pageclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/pageserver/pagechain"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// Config says whom to ask for what.
type Config struct {
	// Addr is where the pageserver answers both protocols.
	Addr string
	TTID core.TTID
	// Boot is X, the LSN the server starts at.
	Boot core.LSN
	// Connections is how many there are; 0 is one. A pageserver answers the
	// requests of one connection in order, and batches them.
	Connections int
}

const (
	backoffMin = 20 * time.Millisecond
	backoffMax = time.Second
	// replyTimeout is how long a connection with requests may stay silent
	// before it is taken for dead.
	replyTimeout = 60 * time.Second
	// attempts is how often a request is tried that the pageserver answers
	// with an error.
	attempts = 4
)

// ErrRefused is what a request ends with that the pageserver answered with an
// error every time.
var ErrRefused = errors.New("pageserver answers with an error")

// A Client asks one pageserver about one timeline. Its methods may be called
// concurrently and from foreign goroutines.
type Client struct {
	env   env.Env
	cfg   Config
	tasks *xsync.Group
	conns []*conn
	turn  atomic.Uint32
	// reported is the newest LSN of this server's own history that the
	// pageserver is known to have.
	reported atomic.Uint64
}

// New makes a client that connects when it is first asked for a page, and
// lives until Close or the end of ctx.
func New(ctx context.Context, e env.Env, cfg Config) *Client {
	c := &Client{env: e, cfg: cfg, tasks: xsync.NewGroup(ctx, e)}
	c.reported.Store(uint64(cfg.Boot))
	for range max(1, cfg.Connections) {
		cn := &conn{client: c, wanted: xsync.NewWatch(e, false)}
		c.conns = append(c.conns, cn)
		c.tasks.Go("page stream", cn.run)
	}
	return c
}

// Close ends all connections. Requests that wait fail.
func (c *Client) Close() {
	c.tasks.Cancel(xsync.ErrClosed)
	_ = c.tasks.Wait()
}

// Advance says that the pageserver has reported lsn, a commit LSN of this
// server's own history. Later requests are as of lsn, so that the pageserver
// need not keep older versions for us.
func (c *Client) Advance(lsn core.LSN) {
	for {
		old := c.reported.Load()
		if uint64(lsn) <= old || c.reported.CompareAndSwap(old, uint64(lsn)) {
			return
		}
	}
}

func (c *Client) at() core.LSN { return core.LSN(c.reported.Load()) }

func (c *Client) request(kind wire.PageKind) wire.PageRequest {
	return wire.PageRequest{Kind: kind, LSN: c.at(), NotModifiedSince: c.cfg.Boot}
}

// ReadPages fills dst, whole pages, with the blocks of a fork from first on.
func (c *Client) ReadPages(ctx context.Context, r core.Rel, first uint32, dst []byte) error {
	calls := make([]call, len(dst)/core.PageSize)
	for i := range calls {
		calls[i].req = c.request(wire.PageGet)
		calls[i].req.Rel, calls[i].req.Block = r, first+uint32(i)
		calls[i].dst = dst[i*core.PageSize : (i+1)*core.PageSize]
	}
	if err := c.ask(ctx, calls); err != nil {
		return fmt.Errorf("read %s from block %d: %w", r, first, err)
	}
	for i := range calls {
		if err := checkPage(&calls[i]); err != nil {
			return err
		}
	}
	return nil
}

// A Version is one block as of one LSN, which must be of this server's own
// history.
type Version struct {
	Rel   core.Rel
	Block uint32
	LSN   core.LSN
}

// ReadVersions fills dst, whole pages, with blocks as of an LSN each. It waits
// until the pageserver has them. Their LSNs are not looked at: the caller knows
// what they should be.
func (c *Client) ReadVersions(ctx context.Context, vs []Version, dst []byte) error {
	calls := make([]call, len(vs))
	for i, v := range vs {
		calls[i].req = wire.PageRequest{Kind: wire.PageGet, LSN: v.LSN, NotModifiedSince: v.LSN, Rel: v.Rel, Block: v.Block}
		calls[i].dst = dst[i*core.PageSize : (i+1)*core.PageSize]
	}
	if err := c.ask(ctx, calls); err != nil {
		return fmt.Errorf("read versions of %d pages: %w", len(vs), err)
	}
	return nil
}

// Chain is what the pageserver makes a version of a page of. It waits until
// the pageserver is there and has it, or ctx ends.
func (c *Client) Chain(ctx context.Context, v Version) (*pagechain.Chain, error) {
	b, err := get(ctx, c.env, c.cfg.Addr, pagechain.Path(c.cfg.TTID, v.Rel, v.Block, v.LSN), nil)
	if err != nil {
		return nil, err
	}
	return pagechain.Decode(b)
}

// checkPage checks that a page is not of a later time than was asked for.
// Where no LSN is (a new page), none is checked.
func checkPage(cl *call) error {
	b := cl.dst
	lsn := core.LSN(le.Uint32(b))<<32 | core.LSN(le.Uint32(b[4:]))
	if lsn > cl.req.LSN {
		return fmt.Errorf("page %d of %s as of %s has LSN %s: %w", cl.req.Block, cl.req.Rel, cl.req.LSN, lsn, env.ErrCorrupt)
	}
	return nil
}

// now is a request for something that this server may have changed since it
// started, and then would not ask for: sizes, segments of SLRUs.
func (c *Client) now(kind wire.PageKind) wire.PageRequest {
	at := c.at()
	return wire.PageRequest{Kind: kind, LSN: at, NotModifiedSince: at}
}

// SLRUSegment is all pages of one segment of an SLRU.
func (c *Client) SLRUSegment(ctx context.Context, s core.SLRU, seg uint32) ([]byte, error) {
	calls := []call{{req: c.now(wire.PageSLRUSegment)}}
	calls[0].req.SLRU, calls[0].req.Segment = s, seg
	if err := c.ask(ctx, calls); err != nil {
		return nil, fmt.Errorf("read %s segment %04X: %w", s.Dir(), seg, err)
	}
	return calls[0].got, nil
}

// Blocks is the size of a fork.
func (c *Client) Blocks(ctx context.Context, r core.Rel) (uint32, error) {
	calls := []call{{req: c.now(wire.PageBlocks)}}
	calls[0].req.Rel = r
	err := c.ask(ctx, calls)
	return calls[0].blocks, err
}

// Exists tells whether there is such a fork.
func (c *Client) Exists(ctx context.Context, r core.Rel) (bool, error) {
	calls := []call{{req: c.now(wire.PageExists)}}
	calls[0].req.Rel = r
	err := c.ask(ctx, calls)
	return calls[0].exists, err
}

// Relations lists a directory of relations. What this server did to them since
// it started lies over the list.
func (c *Client) Relations(ctx context.Context, d bootset.Database) ([]bootset.Relation, error) {
	b, err := get(ctx, c.env, c.cfg.Addr, bootset.RelationsPath(c.cfg.TTID, c.at(), d), nil)
	if err != nil {
		return nil, err
	}
	return bootset.DecodeRelations(b, d)
}

// ask sends requests and waits for all answers. Each attempt has calls of its
// own: those of one that failed may still be on a stream.
func (c *Client) ask(ctx context.Context, calls []call) error {
	for try := 1; ; try++ {
		cn := c.conns[int(c.turn.Add(1))%len(c.conns)]
		mine := slices.Clone(calls)
		err := cn.ask(ctx, mine)
		if err == nil {
			copy(calls, mine)
			return nil
		}
		if !errors.Is(err, ErrRefused) || try == attempts {
			return err
		}
		if err := c.env.Clock().Sleep(ctx, backoff(try)); err != nil {
			return err
		}
	}
}

func backoff(try int) time.Duration { return min(backoffMin<<min(try, 10), backoffMax) }

// askPatience is how long an attempt may go without an answer at first, which
// doubles with each that got none; askPatienceMax is the longest.
const (
	askPatience    = 10 * time.Second
	askPatienceMax = 5 * time.Minute
)

// askOnce is one attempt of get. It does not wait for ever: the host of the
// pageserver may have lost its power while it was asked, and nobody would tell;
// the one that it runs on by now has never heard of the request.
func askOnce(ctx context.Context, e env.Env, addr, path string, patience time.Duration) ([]byte, error) {
	if faults.On && faults.Hit(faults.AnswerAwaited) {
		patience = time.Hour
	}
	step, cancel := xsync.WithTimeout(ctx, e, patience)
	defer cancel()
	b, err := http1.Do(step, e, addr, "GET", path, "", nil)
	if err != nil && xsync.Cause(step) != nil && xsync.Cause(ctx) == nil {
		err = fmt.Errorf("%w for %s: %w", errNoAnswer, patience, err)
	}
	return b, err
}

var errNoAnswer = errors.New("no answer")

// get asks over HTTP until there is an answer. What the pageserver refuses for
// good is an error. Whenever the reason why there is no answer yet changes, it
// is logged, and told unless tell is nil; the error of an ended ctx has it too.
func get(ctx context.Context, e env.Env, addr, path string, tell func(why error)) ([]byte, error) {
	told := ""
	var last error // the answer of an attempt that was not cut short
	patience := askPatience
	for try := 1; ; try++ {
		b, err := askOnce(ctx, e, addr, path, patience)
		if err == nil {
			return b, nil
		}
		var status *http1.StatusError
		if errors.As(err, &status) && status.Status < 500 {
			return nil, err
		}
		if cause := xsync.Cause(ctx); cause != nil {
			return nil, fmt.Errorf("%w: %w", cause, cmp.Or(last, err))
		}
		if why := err.Error(); why != told {
			told = why
			e.Log().Warn("pageserver does not answer; asking again", "error", err)
			if tell != nil {
				tell(err)
			}
		}
		// An answer that comes slowly needs longer; one that was quick and
		// said no says nothing about the next.
		if errors.Is(err, errNoAnswer) {
			patience = min(2*patience, askPatienceMax)
		}
		last = err
		if err := e.Clock().Sleep(ctx, backoff(try)); err != nil {
			return nil, fmt.Errorf("%w: %w", err, last)
		}
	}
}
