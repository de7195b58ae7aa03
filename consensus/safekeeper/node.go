package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/objstore"
	"xenon/core/wire"
	"xenon/core/wire/port"
	"xenon/core/xsync"
)

const (
	timelinesDir = "timelines" // timelines/TENANT/TIMELINE
	// housekeeping is how often a node looks at its disk, at control files
	// that have fallen behind, and at timelines out of service.
	housekeeping = time.Second
	// reviveEvery is how often a timeline out of service is loaded anew.
	reviveEvery = 5 * time.Second
)

func dirOf(id core.TTID) string {
	return path.Join(timelinesDir, id.Tenant.String(), id.Timeline.String())
}

// A Node is one safekeeper.
type Node struct {
	e     env.Env
	ctx   context.Context
	cfg   Config
	start env.Instant

	unlock func() // gives the directory back
	store  *objstore.Store
	lines  peerLines

	mu        xsync.Mutex // over creation; guards what follows
	roster    *roster
	unsure    bool // whether the disk has roster, or one whose saving failed
	timelines map[core.TTID]*Timeline
	pulling   map[core.TTID]bool // copies being made

	lowWater int64
	used     atomic.Int64 // bytes of all WAL
	free     atomic.Int64 // as last seen
	low      atomic.Bool  // free is below lowWater
}

// Run is a safekeeper from its start to the end of ctx. It takes the disk of e
// for its own. It ends with an error if the disk cannot be taken or the
// address not be bound; a timeline that cannot be loaded is refused by name
// while the others are served.
func Run(ctx context.Context, e env.Env, cfg Config) error {
	n, err := Open(ctx, e, cfg)
	if err != nil {
		return err
	}
	defer n.Close()
	l, err := e.Net().Listen(ctx, cfg.Listen)
	if err != nil {
		return fmt.Errorf("safekeeper %d: listen on %s: %w", cfg.NodeID, cfg.Listen, err)
	}
	return n.Serve(ctx, l)
}

// Open takes the disk and loads every timeline. Close gives it back.
func Open(ctx context.Context, e env.Env, cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{e: e, ctx: ctx, cfg: cfg, start: e.Clock().Mono(), timelines: map[core.TTID]*Timeline{}, pulling: map[core.TTID]bool{}}
	n.mu.Init(e)
	n.store = objstore.New(e, e.Objects(), objstore.Options{})
	unlock, err := e.FS().Lock(".")
	if err != nil {
		return nil, fmt.Errorf("safekeeper %d: its directory: %w", cfg.NodeID, err)
	}
	n.unlock = unlock
	if err := n.load(); err != nil {
		unlock()
		return nil, fmt.Errorf("safekeeper %d: %w", cfg.NodeID, err)
	}
	return n, nil
}

// newDiskName draws a name for a disk, unlike any other.
func newDiskName(e env.Env) string {
	r := e.Rand("name of the disk")
	return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
}

// load reads the roster and every timeline of it, and looks for others.
func (n *Node) load() (err error) {
	if n.roster, err = loadRoster(n.e.FS(), n.cfg.NodeID, newDiskName(n.e)); err != nil {
		return err
	}
	if err := n.dropPulls(); err != nil {
		return err
	}
	if err := n.finishCreations(); err != nil {
		return err
	}
	n.bury()
	for _, entry := range n.roster.Timelines {
		if entry.Deleted {
			continue
		}
		t := newTimeline(n, entry.ttid())
		n.timelines[t.id] = t
		n.loadTimeline(t, false)
	}
	n.setLowWater(n.used.Load())
	return nil
}

func (n *Node) loadTimeline(t *Timeline, afterFailure bool) {
	err := t.load(afterFailure)
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := n.e.FS().Stat(dirOf(t.id)); errors.Is(serr, fs.ErrNotExist) {
			err = fmt.Errorf("its directory %s is gone: %w; replace this safekeeper by an empty one, or bring the directory back", dirOf(t.id), fs.ErrNotExist)
		}
		t.setFailed(err)
	}
	if err != nil {
		n.e.Log().Error("timeline out of service", "timeline", t.id.String(), "error", err)
	}
}

// disk is what the disk is called.
func (n *Node) disk() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.roster.Disk
}

// timeline finds a timeline in service.
func (n *Node) timeline(id core.TTID) (*Timeline, error) {
	n.mu.Lock()
	t, deleted := n.timelines[id], n.roster.deleted(id)
	n.mu.Unlock()
	if deleted {
		return nil, wire.Errorf(wire.CodeUndefined, "timeline %s does not exist on safekeeper %d: %v", id, n.cfg.NodeID, errDeleted)
	}
	if t == nil {
		return nil, wire.Errorf(wire.CodeUndefined,
			"timeline %s does not exist on safekeeper %d: it was never created here, or the directory of this safekeeper was replaced", id, n.cfg.NodeID)
	}
	if t.pos.Get().Failed {
		return nil, &wire.Error{Code: wire.CodeNotReady, Message: t.unusable().Error()}
	}
	return t, nil
}

// all lists every timeline, in the order of ids.
func (n *Node) all() []*Timeline {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.timelines), func(a, b *Timeline) int {
		return compareEntry(rosterEntry{Tenant: a.id.Tenant, Timeline: a.id.Timeline}, b.id)
	})
}

// Serve answers on l until ctx ends, and returns the cause.
func (n *Node) Serve(ctx context.Context, l net.Listener) error {
	n.e.Log().Info("safekeeper ready", "id", uint64(n.cfg.NodeID), "addr", l.Addr().String(), "timelines", len(n.all()))
	g := xsync.NewGroup(ctx, n.e)
	g.Go("safekeeper housekeeping", n.keepHouse)
	g.Go("safekeeper peers", n.askPeers)
	g.Go("safekeeper storing WAL", n.storeWAL)
	g.Go("safekeeper listener", func(ctx context.Context) error {
		return port.Serve(ctx, n.e, l, port.Handlers{PG: n.servePG, HTTP: n.api()})
	})
	return g.Wait()
}

func (n *Node) servePG(ctx context.Context, c net.Conn) {
	s, err := wire.Accept(c, wire.ProposerLimit)
	if err == nil {
		err = s.Serve(ctx, n.command)
	}
	if err != nil && ctx.Err() == nil {
		n.e.Log().Info("connection ended", "peer", c.RemoteAddr().String(), "error", err)
	}
}

// keepHouse looks after the disk until ctx ends.
func (n *Node) keepHouse(ctx context.Context) error {
	lastRevival := n.uptime()
	for {
		if err := n.e.Clock().Sleep(ctx, housekeeping); err != nil {
			return err
		}
		n.lookAtDisk()
		revive := n.uptime()-lastRevival >= reviveEvery
		if revive {
			lastRevival = n.uptime()
			n.bury()
		}
		for _, t := range n.all() {
			switch {
			case !t.pos.Get().Failed:
				// The scan at the next start begins at the commit LSN on the disk.
				t.save(t.lagging())
				t.trim()
				if t.beginMending(false) {
					t.startMending(false)
				}
			case !revive || t.isMending():
			case t.beginMending(true):
				t.startMending(true)
			default:
				n.loadTimeline(t, true)
			}
		}
	}
}

// Close flushes and saves what is in service and closes its files. Connections
// have ended.
func (n *Node) Close() {
	for _, t := range n.all() {
		if t.pos.Get().Failed {
			continue
		}
		if _, err := t.flush(); err == nil {
			t.save(1)
		}
		t.mu.Lock()
		t.segs.close()
		t.mu.Unlock()
	}
	n.unlock()
}

func (n *Node) uptime() time.Duration { return n.e.Clock().Mono().Sub(n.start) }

// pgEpoch is 2000-01-01 in Unix time (src/include/datatype/timestamp.h).
const pgEpoch = 946684800

// pgNow is the time as PostgreSQL has it: microseconds since 2000-01-01.
func (n *Node) pgNow() int64 { return n.e.Clock().Now().UnixMicro() - pgEpoch*1_000_000 }
