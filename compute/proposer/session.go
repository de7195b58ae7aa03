package proposer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/xsync"
)

// A session is one campaign and what comes of it, or a leadership in a newer
// configuration. Its fields are guarded by the proposer's lock.
type session struct {
	p      *Proposer
	env    env.Env
	core   *consensus.Proposer
	config consensus.Configuration
	peers  []peer
	group  *xsync.Group
	timer  env.Timer
	armed  env.Instant // when the timer fires
	over   bool
}

// A peer is one safekeeper of a session.
type peer struct {
	member consensus.Member
	conn   *conn // nil while offline
	err    error // why the last connection, or attempt, ended
}

// campaign makes the session of a campaign in a term above one.
func (p *Proposer) campaign(above core.Term) (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := consensus.NewProposer(consensus.ProposerConfig{
		TTID: p.cfg.TTID, Config: p.cfg.Members, Server: p.cfg.Server, Above: above, Sync: p.cfg.sync,
	})
	if err != nil {
		return nil, err
	}
	p.sess = p.newSession(c, p.cfg.Members)
	// A session before may have been elected, though never shown to be level.
	p.wal.reset(0)
	return p.sess, nil
}

func (p *Proposer) newSession(c *consensus.Proposer, config consensus.Configuration) *session {
	s := &session{p: p, env: p.env, core: c, config: config, armed: math.MaxInt64}
	for _, m := range c.Members() {
		s.peers = append(s.peers, peer{member: m})
	}
	return s
}

// run is the session from its first connection until its end.
func (s *session) run(ctx context.Context) error {
	s.group = xsync.NewGroup(ctx, s.env)
	// Hours, so that it does not fire before something is due.
	s.timer = s.env.Clock().AfterFunc(1<<50, s.tick)
	for i := range s.peers {
		s.group.Go("proposer to safekeeper", func(ctx context.Context) error { return s.serve(ctx, i) })
	}
	if s.p.cfg.Lookup {
		s.group.Go("proposer looks for members", s.lookUp)
	}
	err := s.group.Wait()
	s.timer.Stop()
	s.p.mu.Lock()
	s.over = true
	s.p.mu.Unlock()
	return err
}

// lookUpEvery is how long too few safekeepers are to be reached before the
// register is asked whether it is others by now.
const lookUpEvery = 2 * time.Second

// lookUp asks the register of the membership while too few safekeepers of the
// known configuration are there: they may all have been replaced meanwhile.
func (s *session) lookUp(ctx context.Context) error {
	for {
		if err := s.env.Clock().Sleep(ctx, lookUpEvery); err != nil {
			return err
		}
		s.p.mu.Lock()
		reached := s.core.Reached()
		s.p.mu.Unlock()
		if reached {
			continue
		}
		found, err := membership.Find(ctx, s.env, s.p.cfg.TTID)
		if err != nil {
			continue // it is asked again
		}
		s.p.mu.Lock()
		s.core.Reconfigure(found.Config)
		s.p.handOn(s)
		s.p.mu.Unlock()
		if end := s.ended(); end != nil {
			return end
		}
	}
}

// serve keeps a connection to safekeeper i until the session ends.
func (s *session) serve(ctx context.Context, i int) error {
	for {
		s.p.mu.Lock()
		now := s.core.RetryAt(i)
		s.p.mu.Unlock()
		if wait := now.Sub(s.env.Clock().Mono()); wait > 0 {
			if err := s.env.Clock().Sleep(ctx, wait); err != nil {
				return err
			}
		}
		err := s.connect(ctx, i)
		s.strand()
		if end := s.ended(); end != nil {
			return end
		}
		if cause := xsync.Cause(ctx); cause != nil {
			return cause
		}
		s.note(i, err)
	}
}

// note remembers why safekeeper i is gone, and logs it if that is news.
func (s *session) note(i int, err error) {
	s.p.mu.Lock()
	was := s.peers[i].err
	s.peers[i].err = err
	s.p.mu.Unlock()
	if was == nil || was.Error() != err.Error() {
		s.env.Log().Warn("safekeeper lost", "safekeeper", uint64(s.peers[i].member.ID), "error", err)
	}
}

// strand gives up, for another campaign, a log that nobody has any more.
func (s *session) strand() {
	now := s.env.Clock().Mono()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.core.Strand(now)
}

func (s *session) ended() error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if end := s.core.Ended(); end != nil {
		return end
	}
	return nil
}

// connect makes a connection and reads it until it ends; the error says why it
// did.
func (s *session) connect(ctx context.Context, i int) error {
	now := s.env.Clock().Mono()
	s.p.mu.Lock()
	dial := s.core.Dial(i, now)
	s.p.mu.Unlock()
	if !dial {
		return errors.New("not due")
	}
	client, err := s.dial(ctx, s.peers[i].member)
	now = s.env.Clock().Mono()
	if err != nil {
		s.p.mu.Lock()
		s.core.Lost(i, 0, now)
		s.p.mu.Unlock()
		return err
	}
	c := &conn{s: s, i: i, c: client, wake: s.env.NewWaiter()}
	s.p.mu.Lock()
	c.num = s.core.Connected(i, now)
	s.peers[i].conn = c
	s.p.mu.Unlock()
	stop := wire.CloseOn(ctx, c)
	s.group.Go("writer to safekeeper", c.write)
	s.pump(i, now, direct)
	s.arm()
	err = c.read()
	stop()
	c.Close()
	now = s.env.Clock().Mono()
	s.p.mu.Lock()
	if c.err != nil {
		err = c.err
	}
	s.peers[i].conn = nil
	s.core.Lost(i, c.num, now)
	s.p.mu.Unlock()
	return err
}

// dial opens the stream that takes WAL. A timeline is created by its owner, not
// by whoever writes to it.
func (s *session) dial(ctx context.Context, m consensus.Member) (*wire.Client, error) {
	ctx, cancel := xsync.WithTimeout(ctx, s.env, consensus.Silence)
	defer cancel()
	client, err := wire.Connect(ctx, s.env, m.Addr(), wire.ClientConfig{
		ApplicationName: "walproposer", TTID: s.p.cfg.TTID, Timeout: consensus.Silence, Limit: wire.ProposerLimit,
	})
	if err != nil {
		return nil, err
	}
	stop := wire.CloseOn(ctx, client)
	defer stop()
	if err := client.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')"); err != nil {
		client.Close()
		return nil, fmt.Errorf("safekeeper %d at %s: %w", m.ID, m.Addr(), err)
	}
	return client, nil
}

// tick does what time asks for.
func (s *session) tick() {
	now := s.env.Clock().Mono()
	s.p.mu.Lock()
	s.armed = math.MaxInt64
	over := s.over
	s.p.mu.Unlock()
	if over {
		return
	}
	for i := range s.peers {
		s.p.mu.Lock()
		c := s.peers[i].conn
		silent := c != nil && s.core.Silent(i, now)
		if silent && c.err == nil {
			c.err = fmt.Errorf("safekeeper %d did not answer for %s", s.peers[i].member.ID, consensus.Silence)
		}
		s.p.mu.Unlock()
		if silent {
			c.Close()
		} else {
			s.pump(i, now, direct)
		}
	}
	s.arm()
}

// overdue is when to look again at what should have been sent already and was
// not, because a write to that safekeeper blocks: to look at once would be a
// loop that waits for nothing.
const overdue = 50 * time.Millisecond

// arm sets the timer for what is due next, if that is earlier than what it is
// set for.
func (s *session) arm() {
	for {
		now := s.env.Clock().Mono()
		s.p.mu.Lock()
		at := s.core.Wake()
		if at <= now {
			at = now.Add(overdue)
		}
		set := at < s.armed && !s.over
		if set {
			s.armed = at
		}
		s.p.mu.Unlock()
		if !set {
			return
		}
		s.timer.Reset(max(0, at.Sub(now)))
		// Whoever armed it for an earlier time meanwhile may have been
		// overtaken by this Reset: do it again then.
		s.p.mu.Lock()
		if s.armed < at {
			s.armed = math.MaxInt64
		}
		s.p.mu.Unlock()
	}
}

// progress makes known what a message from a safekeeper has changed, and sends
// what became due to the others.
func (s *session) progress(now env.Instant) error {
	p := s.p
	p.mu.Lock()
	end := s.core.Ended()
	leading := end == nil && s.core.Phase() == consensus.Leading
	first, won, news := Elected{}, false, false
	if leading {
		first, won, news = s.lead()
	}
	term, start, commit := s.core.Term(), s.core.StartLSN(), core.LSN(p.committed.Load())
	var owed uint64 // a bit per peer: Owes is asked under the lock, pump takes it itself
	for i := range s.peers {
		if s.core.Owes(i, now) || s.core.Lacks(i) {
			owed |= 1 << i
		}
	}
	due := s.core.Wake() < s.armed
	p.mu.Unlock()
	if end != nil {
		if end.Kind == consensus.Superseded {
			p.fail(end) // at once, not when every connection is closed
		}
		return end
	}
	if won {
		p.env.Trace().Note("proposer.elected", p.cfg.TTID.Timeline.Tag(), uint64(term), uint64(start), 0)
	}
	if news {
		p.env.Trace().Note("proposer.commit", p.cfg.TTID.Timeline.Tag(), uint64(term), uint64(commit), uint64(s.config.Generation))
		p.commit.Update(p.raise)
	}
	if first.Term != 0 {
		p.elected.Set(first)
	}
	for i := range s.peers {
		if owed&(1<<i) != 0 {
			s.pump(i, now, direct)
		}
	}
	if due {
		s.arm()
	}
	return nil
}

// lead takes over the log once elected (won), and moves the commit LSN. first
// is set when the first commit has shown that a majority is level. The caller
// locks.
func (s *session) lead() (first Elected, won, news bool) {
	p := s.p
	if won = p.wal.end == 0; won {
		p.wal.reset(s.core.StartLSN())
	}
	commit, old := s.core.CommitLSN(), core.LSN(p.committed.Load())
	if commit <= old {
		return first, won, false
	}
	p.committed.Store(uint64(commit))
	if old == 0 {
		first = Elected{Term: s.core.Term(), Start: s.core.StartLSN()}
	}
	return first, won, true
}
