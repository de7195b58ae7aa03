// Package proposer is the driver of [consensus.Proposer]: it makes the WAL of
// one compute durable on a majority of safekeepers.
//
// The commit path is one round trip and one hand-over. Offer copies WAL into a
// buffer and writes it to the sockets in the caller's own task; the task that
// reads a safekeeper's answer moves the commit LSN and wakes whoever waits for
// it. A safekeeper that is behind or does not read gets a task of its own to
// write to it, so that none ever holds up the others.
//
// Start at [Proposer.Run] and [Proposer.Offer].
package proposer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/xsync"
)

// Config is what a proposer needs to know.
type Config struct {
	TTID core.TTID
	// Members of generation 1 or more, with the addresses they listen at. Newer
	// ones are taken from the safekeepers' greetings.
	Members consensus.Configuration
	// Lookup says to ask the register of the timeline's membership for newer
	// members while too few of those known are to be reached.
	Lookup bool
	Server consensus.Server
	// BufferBytes of committed WAL are kept for safekeepers that lag a little;
	// what is older is read back from another safekeeper. 0 means 32 MiB.
	BufferBytes int
	// DirectBytes is how far a safekeeper may be behind and still be written to
	// by the caller of Offer. It must fit what a socket takes without blocking
	// while its peer does not read. 0 means 16 KiB, less than the send buffer
	// that Linux begins with (net.ipv4.tcp_wmem) after the kernel's own use.
	DirectBytes int

	sync bool // see [Sync]
}

const (
	defaultBuffer = 32 << 20
	defaultDirect = 16 << 10
)

// An Elected is where the WAL of this proposer begins.
type Elected struct {
	Term core.Term
	// Start is the end of the last record that can have been committed before:
	// the X at which a compute is to boot. A majority is level with it.
	Start core.LSN
}

// ErrNotElected is what an offer before election gets.
var ErrNotElected = errors.New("proposer is not elected")

// A Proposer drives one campaign after another until it is elected, and then
// that one leadership until it ends. Its methods may be called by any task.
type Proposer struct {
	env env.Env
	cfg Config

	mu   sync.Mutex // a leaf: guards what follows, and all of the session
	wal  buffer
	sess *session
	err  error // why it ended

	committed atomic.Uint64 // core.LSN, moved under mu
	raise     func(core.LSN) core.LSN
	commit    *xsync.Watch[core.LSN]
	elected   *xsync.Watch[Elected]
	waits     sync.Pool // of *commitWait
}

// New makes a proposer. Nothing happens before Run.
func New(e env.Env, cfg Config) (*Proposer, error) {
	if err := cfg.Members.Check(); err != nil {
		return nil, err
	}
	if cfg.BufferBytes == 0 {
		cfg.BufferBytes = defaultBuffer
	}
	if cfg.DirectBytes == 0 {
		cfg.DirectBytes = defaultDirect
	}
	p := &Proposer{
		env: e, cfg: cfg, wal: buffer{limit: cfg.BufferBytes},
		commit: xsync.NewWatch(e, core.LSN(0)), elected: xsync.NewWatch(e, Elected{}),
		waits: sync.Pool{New: newCommitWait},
	}
	// Two readers may publish at once, in either order: each publishes the
	// newest, so the watch never goes back.
	p.raise = func(old core.LSN) core.LSN { return max(old, core.LSN(p.committed.Load())) }
	return p, nil
}

// Run campaigns until elected, leads until that ends, and returns why: an
// [*consensus.End] once a higher term exists or the configuration has changed,
// or the cause of ctx's end. Nothing is committed by this proposer after it has
// returned; every waiting and later call gets the same error.
func (p *Proposer) Run(ctx context.Context) error {
	random := p.env.Rand("proposer")
	var above core.Term
	for try := 0; ; try++ {
		err := p.reign(ctx, above)
		var end *consensus.End
		if errors.As(err, &end) && (end.Kind == consensus.Outvoted || end.Kind == consensus.Stranded) {
			above = end.Term
			p.env.Log().Info("proposer tries again", "reason", end.Error())
			// Two that campaign at once must not meet again and again.
			pause := time.Duration(1+random.IntN(20<<min(try, 5))) * 5 * time.Millisecond
			err = p.env.Clock().Sleep(ctx, pause)
		} else if errors.As(err, &end) && end.Kind == consensus.Reconfigured && p.Committed() == 0 {
			p.env.Log().Info("proposer takes a newer configuration", "configuration", end.Config.String())
			p.mu.Lock()
			p.cfg.Members = end.Config
			p.mu.Unlock()
			err = nil
		}
		if err != nil {
			p.fail(err)
			return err
		}
	}
}

// reign campaigns once and leads if elected, through all the configurations of
// its time, and returns why it ended.
func (p *Proposer) reign(ctx context.Context, above core.Term) error {
	s, err := p.campaign(above)
	for err == nil {
		err = s.run(ctx)
		p.mu.Lock()
		next := p.sess
		p.mu.Unlock()
		if next == s {
			break
		}
		p.env.Log().Info("proposer goes on in a newer configuration", "configuration", next.config.String())
		s, err = next, nil
	}
	return err
}

// handOn gives the leadership of a session that a newer configuration has ended
// to one of that configuration, which takes offers from now on: whoever writes
// or waits notices nothing. One that has not been shown to be level campaigns
// anew instead. The caller locks.
func (p *Proposer) handOn(s *session) {
	end := s.core.Ended()
	if p.sess != s || end == nil || end.Kind != consensus.Reconfigured || p.Committed() == 0 {
		return
	}
	if next, err := s.core.Continue(); err == nil {
		p.cfg.Members = end.Config
		p.sess = p.newSession(next, end.Config)
	}
}

// fail ends the proposer for everybody who waits. The first reason counts.
func (p *Proposer) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	p.commit.Close(err)
	p.elected.Close(err)
}

// Err is why the proposer ended, nil while it has not.
func (p *Proposer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Elect waits until this proposer is elected and a majority of safekeepers
// holds everything up to where its WAL begins.
func (p *Proposer) Elect(ctx context.Context) (Elected, error) {
	e, err := p.elected.Await(ctx, func(e Elected) bool { return e.Term != 0 })
	if err != nil {
		return Elected{}, fmt.Errorf("election of a proposer for timeline %s: %w", p.cfg.TTID, err)
	}
	return e, nil
}

// Offer appends complete records to the log; begin is where the last offer, or
// the election, ended. wal is copied. Safekeepers that keep up are sent it
// before Offer returns; it never waits for an answer.
func (p *Proposer) Offer(begin core.LSN, wal []byte) error {
	now := p.env.Clock().Mono()
	p.mu.Lock()
	s := p.sess
	if err := p.offerable(s); err != nil {
		p.mu.Unlock()
		return err
	}
	if begin != p.wal.end {
		core.Must(false, "WAL offered at %s to a log that ends at %s", begin, p.wal.end)
	}
	p.wal.append(wal)
	s.core.Forget(max(s.core.LocalLSN(), p.wal.trim(s.core.CommitLSN())))
	s.core.Offer(p.wal.end)
	p.mu.Unlock()
	for i := range s.peers {
		s.pump(i, now, direct)
	}
	return nil
}

func (p *Proposer) offerable(s *session) error {
	if p.err != nil {
		return p.err
	}
	if s == nil || s.core.Phase() != consensus.Leading {
		return ErrNotElected
	}
	if end := s.core.Ended(); end != nil {
		return end
	}
	return nil
}

// Committed is the LSN up to which WAL is on a majority for ever; 0 before Elect
// returned.
func (p *Proposer) Committed() core.LSN { return core.LSN(p.committed.Load()) }

// AwaitCommit returns nil once WAL up to lsn is committed. An error says that
// this will not be known here: the proposer has ended, or ctx has.
func (p *Proposer) AwaitCommit(ctx context.Context, lsn core.LSN) error {
	if p.Committed() >= lsn {
		return nil
	}
	w := p.waits.Get().(*commitWait)
	w.lsn = lsn
	_, err := p.commit.Await(ctx, w.met)
	p.waits.Put(w)
	return err
}

// A commitWait is a reused condition: one per waiting flush would be garbage.
type commitWait struct {
	lsn core.LSN
	met func(core.LSN) bool
}

func newCommitWait() any {
	w := new(commitWait)
	w.met = func(c core.LSN) bool { return c >= w.lsn }
	return w
}
