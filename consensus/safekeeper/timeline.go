package safekeeper

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
	"xenon/core/xsync"
)

const (
	// shortagePause is how often appends that wait look for space again. The
	// proposer hears from us each time, so that it keeps the connection.
	shortagePause = 500 * time.Millisecond
)

// A Position is where a timeline stands, for those who wait on it.
type Position struct {
	Term   core.Term
	Flush  core.LSN // durable here, at a record's end
	Commit core.LSN // durable on a majority and here
	Failed bool     // the timeline is out of service
}

// A Timeline is one timeline on this safekeeper: an acceptor and its disk. Its
// lock is held over every step and over all that the step owes, so nothing
// ever sees a promise that is not durable.
type Timeline struct {
	node *Node
	id   core.TTID

	mu     xsync.Mutex
	acc    *consensus.Acceptor // nil while failed
	segs   segments
	dec    *wal.Decoder // at the end of what was written
	format wal.Format
	ahead  core.LSN // end of a record whose padding has not come yet
	saved  core.LSN // commit LSN in the control file
	kept   kept     // the rest of the control file
	// deleted tells that it is gone from this node for good.
	deleted bool

	pos *xsync.Watch[Position]

	// What others may ask without waiting for the disk.
	leaf     sync.Mutex
	status   status
	feedback feedback
	holds    map[string]hold // by who holds

	nextSender int
	peers      peering
	lessor     consensus.Lessor // of read leases; guarded by mu
	store      storing
	mending    mending
	bringing   xsync.Mutex // over what brings an evicted timeline back
}

// status is what the acceptor last said of itself, and why it waits.
type status struct {
	at        Position // of the same moment as the rest
	control   consensus.Control
	history   consensus.History
	write     core.LSN
	walBytes  int64
	evicted   bool // the WAL is in the object store alone
	syncs     uint64
	waiting   shortage
	failed    error
	receivers int
	senders   map[int]*sender // by number of the connection
}

// newTimeline makes a timeline out of service; load puts it into service.
func newTimeline(n *Node, id core.TTID) *Timeline {
	t := &Timeline{node: n, id: id, pos: xsync.NewWatch(n.e, Position{Failed: true})}
	t.mu.Init(n.e)
	t.bringing.Init(n.e)
	t.segs = segments{disk: n.e.FS(), dir: dirOf(id)}
	t.status.senders = map[int]*sender{}
	t.status.failed = errNotLoaded
	return t
}

var errNotLoaded = errors.New("it is not loaded yet")

// load starts the timeline from what is on the disk, at start-up and after a
// failure. An error leaves it out of service.
func (t *Timeline) load(afterFailure bool) (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() {
		if err != nil {
			t.acc = nil
			t.setFailed(err)
			t.leaf.Lock()
			t.mending.hurt = damagedRead(err)
			t.leaf.Unlock()
		}
	}()
	if t.deleted {
		return errDeleted
	}
	t.node.used.Add(-t.segs.bytes())
	defer func() { t.node.used.Add(t.segs.bytes()) }()
	t.segs.close()
	if err := t.segs.disk.SyncDir(t.segs.dir); err != nil {
		return err
	}
	control, err := t.readControl()
	if err != nil {
		return err
	}
	if t.format, err = formatOf(control.Server); err != nil {
		return err
	}
	if t.segs.size != control.Server.SegmentSize { // readers look at it without the lock
		t.segs.size = control.Server.SegmentSize
	}
	if t.kept.evicted {
		err = t.segs.removeAll()
	} else {
		err = t.segs.checkSegments(&control)
	}
	if err != nil {
		return err
	}
	if afterFailure {
		// The name may be that of a file whose replacing was not made durable.
		if err := t.persist(&control); err != nil {
			return err
		}
	}
	tail := wal.Tail{End: control.Commit}
	if !t.kept.evicted {
		if tail, err = t.segs.findEnd(t.format, &control, t.cutShort(&control)); err != nil {
			return err
		}
	}
	acc, err := consensus.NewAcceptor(t.node.cfg.NodeID, t.id, control, tail.End)
	if err != nil {
		return err
	}
	t.acc, t.ahead, t.saved = acc, 0, control.Commit
	t.lessor = consensus.NewLessor(t.node.e.Clock().Mono())
	t.segs.bare, t.segs.blank = 0, false
	if tail.End == control.LocalStart && tail.End.SegmentOffset(t.segs.size) > 0 && !t.kept.evicted {
		t.segs.bare = tail.End
	}
	t.dec = wal.NewDecoder(t.format, acc.WriteLSN(), tail.Last)
	t.setFailed(nil)
	t.publish()
	return nil
}

// readControl reads the control file, the part that is no matter of consensus
// into the timeline.
func (t *Timeline) readControl() (c consensus.Control, err error) {
	body, err := readSealed(t.segs.disk, t.segs.dir, controlName, controlMagic)
	if err != nil {
		return c, err
	}
	if c, t.kept, err = decodeControlWith(body, t.node.cfg.NodeID, t.id); err != nil {
		return c, fmt.Errorf("control file %s/%s: %w", t.segs.dir, controlName, err)
	}
	return c, nil
}

// persist makes c the control file.
func (t *Timeline) persist(c *consensus.Control) error {
	body := encodeControlWith(t.node.cfg.NodeID, t.id, c, t.kept)
	return t.patiently(func() error {
		err := writeSealed(t.segs.disk, t.segs.dir, controlName, controlMagic, body)
		if err == nil {
			t.saved = c.Commit
		}
		return err
	})
}

// patiently repeats f while the disk is full, under the lock: the timeline has
// gone too far to do anything else, and nobody was told of it yet.
func (t *Timeline) patiently(f func() error) error {
	for {
		err := f()
		if !canRetry(err) {
			return err
		}
		t.setWaiting(shortage(fmt.Sprintf("safekeeper %d: %v: free space on its disk", t.node.cfg.NodeID, err)))
		err = t.node.e.Clock().Sleep(t.node.ctx, shortagePause)
		t.setWaiting("")
		if err != nil {
			return err
		}
	}
}

// publish tells everybody where the acceptor stands. It is called after every
// step, when all the step owed is done.
func (t *Timeline) publish() {
	p := Position{Term: t.acc.Term(), Flush: t.acc.FlushLSN(), Commit: t.acc.CommitLSN()}
	if p.Commit > p.Flush && !(faults.On && faults.Hit(faults.CommitUncapped)) { // guarded: arguments of Must are allocated
		core.Must(false, "timeline %s: commit LSN %s is above flush LSN %s", t.id, p.Commit, p.Flush)
	}
	t.leaf.Lock()
	t.status.at, t.status.control, t.status.history = p, t.acc.Control(), t.acc.History()
	t.status.write, t.status.walBytes, t.status.syncs = t.acc.WriteLSN(), t.segs.bytes(), t.segs.syncs
	t.status.evicted = t.kept.evicted
	t.leaf.Unlock()
	if p != t.pos.Get() {
		t.pos.Set(p)
	}
}

func (t *Timeline) setWaiting(s shortage) {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	t.status.waiting = s
}

func (t *Timeline) setFailed(err error) {
	t.leaf.Lock()
	t.status.failed = err
	t.leaf.Unlock()
	if err != nil {
		t.pos.Update(func(p Position) Position { p.Failed = true; return p })
	}
}

// fail takes the timeline out of service: memory has gone ahead of the disk,
// or the disk of what it was told. The node loads it anew later.
func (t *Timeline) fail(err error) error {
	t.acc = nil
	t.segs.close()
	t.setFailed(err)
	t.node.e.Log().Error("timeline out of service", "timeline", t.id.String(), "error", err)
	return t.unusable()
}

// unusable is the error of a timeline out of service, by name.
func (t *Timeline) unusable() error {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	return fmt.Errorf("timeline %s is out of service on safekeeper %d: %w", t.id, t.node.cfg.NodeID, t.status.failed)
}

// step runs f under the lock with the acceptor in service. What f returns as
// an error from the disk took the timeline out of service already.
func (t *Timeline) step(f func(a *consensus.Acceptor) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.acc == nil {
		return t.unusable()
	}
	if err := f(t.acc); err != nil {
		return err
	}
	t.publish()
	return nil
}

// greet, vote and elect pass a proposer's message to the acceptor and do what
// it owes; their answer may be sent once they return.
func (t *Timeline) greet(s *consensus.Session, m consensus.ProposerGreeting) (r consensus.AcceptorGreeting, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		var out consensus.Output
		if r, out, err = a.Greet(s, m); err != nil {
			return err
		}
		return t.carryOut(out)
	})
	return r, err
}

func (t *Timeline) vote(s *consensus.Session, m consensus.VoteRequest) (r consensus.VoteResponse, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		var out consensus.Output
		if r, out, err = a.Vote(s, m); err != nil {
			return err
		}
		return t.carryOut(out)
	})
	if err == nil {
		t.node.e.Trace().Note("safekeeper.vote", t.id.Timeline.Tag(), uint64(r.Term), uint64(r.Flush), b2u(r.Granted))
	}
	return r, err
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (t *Timeline) elect(s *consensus.Session, m consensus.ProposerElected) error {
	return t.step(func(a *consensus.Acceptor) error {
		if m.Term >= a.Term() && m.Start > a.WriteLSN() {
			return fmt.Errorf("proposer of term %d starts at %s, but WAL of timeline %s ends at %s on safekeeper %d: %w",
				m.Term, m.Start, t.id, a.WriteLSN(), t.node.cfg.NodeID, consensus.ErrOrder)
		}
		if t.kept.evicted {
			return t.away()
		}
		out, err := a.Elect(s, m)
		if err != nil {
			return err
		}
		t.node.e.Trace().Note("safekeeper.elected", t.id.Timeline.Tag(), uint64(m.Term), uint64(m.Start), b2u(out.Truncate))
		return t.carryOut(out)
	})
}

// carryOut does what a step owes, in the order of its fields.
func (t *Timeline) carryOut(out consensus.Output) error {
	if out.Sync {
		if err := t.segs.sync(); err != nil {
			return t.fail(err)
		}
	}
	if out.Promise != nil {
		if err := t.persist(out.Promise); err != nil {
			return t.fail(err)
		}
	}
	if out.Truncate {
		if err := t.truncate(out.Start); err != nil {
			return t.fail(err)
		}
	}
	if out.Adopt != nil {
		if err := t.persist(out.Adopt); err != nil {
			return t.fail(err)
		}
	}
	return nil
}

func (t *Timeline) truncate(lsn core.LSN) error {
	var err error
	t.counted(func() {
		err = t.patiently(func() error { return t.segs.truncate(lsn) })
	})
	if err != nil {
		return err
	}
	if err := t.locate(lsn, lsn); err != nil {
		return err
	}
	t.acc.Truncated()
	return nil
}
