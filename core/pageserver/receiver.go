package pageserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

const (
	// dialTimeout bounds a safekeeper's greeting.
	dialTimeout = 5 * time.Second
	// silence is how long a safekeeper may say nothing: it owes a keepalive
	// every second.
	silence = 5 * time.Second
	// retryMin and retryMax bound the pause after all safekeepers failed.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
	// lookEvery is how often the receiver asks the other safekeepers whether
	// they have more, while no WAL comes: at first, and at last.
	lookEvery   = time.Second
	lookSeldom  = time.Minute
	receiveLine = 1 << 20 // longest message: a bound, not an expectation
)

// errAhead ends a stream because another safekeeper has more.
var errAhead = errors.New("another safekeeper has more WAL")

// A receiver streams a timeline's WAL into it, from one safekeeper at a time.
// Committed WAL is the same on all of them, so that it goes on at the next one
// where it stopped, in the middle of a record too.
type receiver struct {
	t       *Timeline
	e       env.Env
	cfg     *Config
	decoder *wal.Decoder
	// remote is what may be reported as remote-consistent; 0 is nothing.
	remote func() core.LSN

	mu     sync.Mutex // leaf: guards what status reads
	peers  []string
	at     int // peers[at] is streamed from
	status ReceiverStatus
	cancel context.CancelCauseFunc // of the stream, nil if there is none
}

// ReceiverStatus says how the WAL receiver of a timeline fares.
type ReceiverStatus struct {
	Source   string   `json:"wal_source_connstr"`    // the safekeeper streamed from
	Received core.LSN `json:"last_received_msg_lsn"` // how far its WAL goes
	Began    core.LSN `json:"first_streamed_lsn"`    // no WAL below was read since the timeline was attached
	Streams  int      `json:"streams"`               // how many were started
	Error    string   `json:"last_error,omitempty"`  // what ended the last one
}

func newReceiver(t *Timeline, e env.Env, cfg *Config, peers []string) *receiver {
	last := t.LastRecord()
	f := t.ctl.Format()
	f.TimelineID = 1
	return &receiver{t: t, e: e, cfg: cfg, peers: peers, decoder: wal.NewDecoder(f, last.LSN, last.Prev), status: ReceiverStatus{Began: last.LSN}}
}

// Status is a copy.
func (r *receiver) Status() ReceiverStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// setPeers replaces the safekeepers; the stream goes on if its own stays.
func (r *receiver) setPeers(peers []string) {
	r.mu.Lock()
	at, cancel := slices.Index(peers, r.status.Source), r.cancel
	r.peers, r.at = peers, max(at, 0)
	r.mu.Unlock()
	if at < 0 && cancel != nil {
		cancel(errors.New("the safekeeper was taken off the list"))
	}
}

// refreshPatience bounds a look at the register of the members.
const refreshPatience = 2 * time.Second

// refresh takes the safekeepers from the register of the timeline's members: all
// that are known may have been replaced. A timeline that was never entered
// there keeps those that it was attached with.
func (r *receiver) refresh(ctx context.Context) {
	if r.e.Objects() == nil {
		return
	}
	ctx, cancel := xsync.WithTimeout(ctx, r.e, refreshPatience)
	defer cancel()
	found, err := membership.Find(ctx, r.e, r.t.id)
	if err != nil {
		return // what is known is as good as anything
	}
	var peers []string
	for _, m := range found.Config.Union() {
		peers = append(peers, m.Addr())
	}
	if known := r.list(); len(peers) != len(known) || slices.ContainsFunc(peers, func(p string) bool { return !slices.Contains(known, p) }) {
		r.setPeers(peers)
	}
}

// run streams until ctx ends or ingest stops.
func (r *receiver) run(ctx context.Context) error {
	pause, failed := retryMin, 0
	for ctx.Err() == nil && r.t.Err() == nil {
		before := r.t.LastRecord().LSN
		addr, n := r.peer()
		err := r.stream(ctx, addr)
		if ctx.Err() != nil {
			break
		}
		r.failed(addr, err)
		r.complain(ctx, addr, err)
		failed++
		if r.t.LastRecord().LSN > before || errors.Is(err, errAhead) {
			pause, failed = retryMin, 0
		}
		if failed >= n {
			failed = 0
			r.refresh(ctx)
			if r.e.Clock().Sleep(ctx, pause) != nil {
				break
			}
			pause = min(2*pause, retryMax)
		}
	}
	return xsync.Cause(ctx)
}

// peer is whom to stream from, and how many there are.
func (r *receiver) peer() (string, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.peers) == 0 {
		return "", 1
	}
	return r.peers[r.at%len(r.peers)], len(r.peers)
}

// failed goes on to the next safekeeper, unless one was chosen already.
func (r *receiver) failed(addr string, err error) {
	r.mu.Lock()
	r.status.Error, r.cancel = err.Error(), nil
	if len(r.peers) > 0 && r.peers[r.at%len(r.peers)] == addr && !errors.Is(err, errAhead) {
		r.at = (r.at + 1) % len(r.peers)
	}
	r.mu.Unlock()
	r.e.Log().Info("WAL stream ended", slog.String("timeline", r.t.id.String()), slog.String("safekeeper", addr), slog.Any("err", err))
}

// complain tells a safekeeper where what it sent is no WAL: it did not look, and
// may be the only one that has it. If it hears nothing of it, it is told again.
func (r *receiver) complain(ctx context.Context, addr string, err error) {
	var bad *wal.InvalidError
	if !errors.As(err, &bad) {
		return
	}
	ctx, cancel := xsync.WithTimeout(ctx, r.e, refreshPatience)
	defer cancel()
	places := url.Values{"lsn": {bad.Record.String(), bad.At.String()}}
	path := fmt.Sprintf("/v1/tenant/%s/timeline/%s/examine?%s", r.t.id.Tenant, r.t.id.Timeline, places.Encode())
	if err := http1.Call(ctx, r.e, addr, "POST", path, nil, nil); err != nil {
		r.e.Log().Warn("safekeeper is not told of its damaged WAL", slog.String("safekeeper", addr), slog.Any("err", err))
	}
}

// stream receives from one safekeeper until that fails.
func (r *receiver) stream(ctx context.Context, addr string) error {
	if addr == "" {
		return errors.New("the timeline has no safekeepers")
	}
	ctx, cancel := xsync.WithCancel(ctx)
	defer cancel(nil)
	r.mu.Lock()
	r.cancel = cancel
	r.status.Source, r.status.Streams = addr, r.status.Streams+1
	r.mu.Unlock()
	c, err := r.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer wire.CloseOn(ctx, c)()
	r.resume()
	c.NetConn().SetDeadline(r.e.Clock().Now().Add(dialTimeout))
	if err := c.CopyBoth("START_REPLICATION PHYSICAL " + r.decoder.Pos().String()); err != nil {
		return err
	}
	err = r.receive(ctx, c)
	if cause := xsync.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// dial connects and sees that the safekeeper has the same cluster's WAL.
func (r *receiver) dial(ctx context.Context, addr string) (*wire.Client, error) {
	c, err := wire.Connect(ctx, r.e, addr, wire.ClientConfig{
		ApplicationName: fmt.Sprintf("pageserver-%d", r.cfg.ID), TTID: r.t.id, Limit: receiveLine, Timeout: dialTimeout,
	})
	if err != nil {
		return nil, err
	}
	c.NetConn().SetDeadline(r.e.Clock().Now().Add(dialTimeout))
	res, err := c.Query("IDENTIFY_SYSTEM")
	if err == nil && (len(res.Rows) != 1 || len(res.Rows[0]) < 1) {
		err = fmt.Errorf("safekeeper %s: IDENTIFY_SYSTEM returned no row", addr)
	}
	if err == nil {
		want := strconv.FormatUint(r.t.index.SystemID, 10)
		if got := string(res.Rows[0][0]); got != want {
			err = fmt.Errorf("safekeeper %s has WAL of system %s, timeline %s is of system %s", addr, got, r.t.id, want)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// resume makes the decoder ready for a new stream: where it stopped, or after
// the last record if it met bytes that are no WAL. What those bytes claimed
// counts no longer.
func (r *receiver) resume() {
	last := r.t.LastRecord()
	if _, _, err := r.decoder.Next(); err != nil {
		r.decoder.Reset(last.LSN, last.Prev)
	}
	if faults.On && faults.Hit(faults.IngestTwice) {
		r.decoder.Reset(r.t.index.LSN, r.t.index.PrevLSN)
	}
	r.mu.Lock()
	r.status.Received = r.decoder.Pos()
	r.mu.Unlock()
}

// receive ingests what comes, and says how far it is once nothing more is
// there.
func (r *receiver) receive(ctx context.Context, c *wire.Client) error {
	for {
		c.NetConn().SetDeadline(r.e.Clock().Now().Add(silence))
		body, err := c.ReadCopy()
		if errors.Is(err, io.EOF) {
			return errors.New("the safekeeper ended the stream")
		}
		if err != nil {
			return err
		}
		m, err := wire.DecodeStream(body)
		if err != nil {
			return err
		}
		owed := m.Kind == wire.MsgKeepalive && m.Keepalive.Reply
		if m.Kind == wire.MsgXLogData {
			if err := r.ingest(ctx, m.Data); err != nil {
				return err
			}
		}
		if !c.Buffered() || owed {
			if err := r.feedback(c); err != nil {
				return err
			}
		}
	}
}

// ingest takes in one message of WAL. Bytes that were here before are left
// out, so that each record is ingested once.
func (r *receiver) ingest(ctx context.Context, m wire.XLogData) error {
	pos := r.decoder.Pos()
	if m.Start > pos {
		return fmt.Errorf("WAL comes from %s on, wanted %s", m.Start, pos)
	}
	if skip := pos - m.Start; skip < core.LSN(len(m.WAL)) {
		m.WAL, m.Start = m.WAL[skip:], pos
	} else {
		return nil
	}
	if err := r.decoder.Feed(m.Start, m.WAL); err != nil {
		return err
	}
	r.mu.Lock()
	r.status.Received = r.decoder.Pos()
	r.mu.Unlock()
	for {
		rec, ok, err := r.decoder.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if faults.On && rec.End%(64*8) == 0 && faults.Hit(faults.IngestSkips) {
			continue
		}
		if err := r.t.Ingest(rec); err != nil {
			return err
		}
	}
	return r.t.makeRoom(ctx)
}

// feedback tells what was received, and what of it a restart would not ask for
// again.
func (r *receiver) feedback(c *wire.Client) error {
	f := consensus.PageserverFeedback{
		LastReceived: r.t.LastRecord().LSN, DiskConsistent: r.t.DiskConsistent().LSN, RemoteConsistent: r.remote(),
		ReplyTime: r.e.Clock().Now().Sub(postgresEpoch).Microseconds(),
	}
	if faults.On && faults.Hit(faults.RemoteTellsDisk) {
		f.RemoteConsistent = f.DiskConsistent
	}
	r.e.Trace().Note("pageserver.remote", r.t.id.Timeline.Tag(), uint64(f.RemoteConsistent), 0, 0)
	c.CopyData(wire.AppendFeedbackMessage(nil, &f), nil)
	return c.Flush()
}

// postgresEpoch is where PostgreSQL's timestamps begin.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// watch looks, while no WAL comes, whether another safekeeper has more, and
// then makes the receiver change to it: one that is cut off from its proposer
// still sends keepalives. It asks less and less often, but once a second while
// somebody waits.
func (r *receiver) watch(ctx context.Context) error {
	seen, since, every := core.LSN(0), time.Duration(0), lookEvery
	for {
		if err := r.e.Clock().Sleep(ctx, lookEvery); err != nil {
			return err
		}
		since += lookEvery
		if last := r.t.LastRecord().LSN; last != seen {
			seen, since, every = last, 0, lookEvery
			continue
		}
		if since < every && r.t.waiting.Load() == 0 {
			continue
		}
		since, every = 0, min(2*every, lookSeldom)
		if r.look(ctx) {
			every = lookEvery
		}
	}
}

// look asks every other safekeeper for its commit LSN and changes to the one
// that is furthest ahead, if any is.
func (r *receiver) look(ctx context.Context) bool {
	r.refresh(ctx)
	r.mu.Lock()
	peers, at := slices.Clone(r.peers), r.at
	r.mu.Unlock()
	best, ahead := -1, r.received()
	// In the order in which failures go round, so that of two equals the one
	// that just failed comes last.
	for n := 1; n < len(peers); n++ {
		i := (at + n) % len(peers)
		if commit, err := r.commitLSN(ctx, peers[i]); err == nil && commit > ahead {
			best, ahead = i, commit
		}
	}
	if best < 0 {
		return false
	}
	r.mu.Lock()
	cancel := r.cancel
	if r.at == at && slices.Equal(r.peers, peers) {
		r.at = best
	} else {
		cancel = nil
	}
	r.mu.Unlock()
	if cancel != nil {
		cancel(errAhead)
	}
	return true
}

// received is how far the WAL is here.
func (r *receiver) received() core.LSN {
	last := r.t.LastRecord().LSN // not under the leaf: it gives way
	return max(r.Status().Received, last)
}

func (r *receiver) commitLSN(ctx context.Context, addr string) (core.LSN, error) {
	ctx, cancel := xsync.WithTimeout(ctx, r.e, dialTimeout)
	defer cancel()
	c, err := r.dial(ctx, addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer wire.CloseOn(ctx, c)()
	res, err := c.Query("TIMELINE_STATUS")
	if err != nil {
		return 0, err
	}
	for i, col := range res.Columns {
		if col == "commit_lsn" && len(res.Rows) > 0 && i < len(res.Rows[0]) {
			return core.ParseLSN(string(res.Rows[0][i]))
		}
	}
	return 0, fmt.Errorf("safekeeper %s does not have timeline %s", addr, r.t.id)
}

// list is the safekeepers.
func (r *receiver) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.peers)
}
