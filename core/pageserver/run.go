package pageserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/layer"
	"xenon/core/objstore"
	"xenon/core/pageserver/remote"
	"xenon/core/redo"
	"xenon/core/wire/port"
	"xenon/core/xsync"
)

// Config is the configuration of a pageserver.
type Config struct {
	ID     core.NodeID `toml:"id"`
	Listen string      `toml:"listen"` // host:port of both page service and HTTP
	// CacheBytes is the memory for blocks of layers, MemoryBytes that for the
	// versions of all timelines that are not in layers yet: ingest waits where
	// it is full.
	CacheBytes  int64 `toml:"cache_bytes"`
	MemoryBytes int64 `toml:"memory_bytes"`
	// CheckpointDistance is how many bytes of WAL a timeline ingests before it
	// writes a layer, if memory is not short before that, and
	// CheckpointTimeoutSeconds for how long.
	CheckpointDistance       int64 `toml:"checkpoint_distance"`
	CheckpointTimeoutSeconds int   `toml:"checkpoint_timeout_seconds"`
	// WaitLSNSeconds is how long a request waits for WAL that has not arrived.
	WaitLSNSeconds int `toml:"wait_lsn_seconds"`
	// Managers is the redo of extensions' resource managers, nil if the program
	// has none: then WAL that needs one stops ingest, which says so.
	Managers *redo.Managers `toml:"-"`
}

// DefaultConfig is what [Run] takes where a number is 0. The wait is Neon's
// wait_lsn_timeout.
var DefaultConfig = Config{ID: 1, Listen: "127.0.0.1:6400", CacheBytes: 64 << 20, MemoryBytes: 96 << 20,
	CheckpointDistance: checkpointDistance, CheckpointTimeoutSeconds: int(checkpointTimeout / time.Second), WaitLSNSeconds: 300}

func (c *Config) fill() {
	d := DefaultConfig
	if c.ID == 0 {
		c.ID = d.ID
	}
	if c.Listen == "" {
		c.Listen = d.Listen
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = d.CacheBytes
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = d.MemoryBytes
	}
	if c.CheckpointDistance == 0 {
		c.CheckpointDistance = d.CheckpointDistance
	}
	if c.CheckpointTimeoutSeconds == 0 {
		c.CheckpointTimeoutSeconds = d.CheckpointTimeoutSeconds
	}
	if c.WaitLSNSeconds == 0 {
		c.WaitLSNSeconds = d.WaitLSNSeconds
	}
}

func (c *Config) waitLSN() time.Duration { return time.Duration(c.WaitLSNSeconds) * time.Second }

func (c *Config) flushPolicy() FlushPolicy {
	return FlushPolicy{Distance: c.CheckpointDistance, Timeout: time.Duration(c.CheckpointTimeoutSeconds) * time.Second}
}

// A node is one running pageserver.
type node struct {
	e      env.Env
	store  *objstore.Store // e's
	cfg    Config
	cache  *layer.Cache
	memory *Memory
	group  *xsync.Group

	downloads *xsync.Sem // of all timelines
	dirs      directories

	attaching xsync.Mutex // held while it is changed what is attached, or written down
	branching xsync.Mutex // nobody makes a branch of what is being deleted

	mu        sync.Mutex // leaf: guards what follows
	timelines map[core.TTID]*attached
	made      map[core.TTID]*remote.Owner // of branches to be attached
	condemned map[core.TTID]bool          // that are being deleted
	begun     map[core.TTID][]*bool       // branches being made, and whether they were deleted meanwhile
	openings  map[core.TTID]*opening      // timelines that are about to be attached
	leaving   map[core.TTID]bool          // that were detached, and are still being closed
	former    map[core.TTID]former        // that were detached, to be opened anew
	troubles  map[string]string           // why timelines are not attached yet, by directory
	away      error                       // why the last timeline that need not wait for it was not taken over
}

// attached is a timeline that is served.
type attached struct {
	t        *Timeline
	receiver *receiver
	up       *remote.Uploader
	fetcher  *remote.Fetcher
	claims   *xsync.Watch[uint64] // how often it was to be taken over anew
	tasks    *xsync.Group         // end with the node, or before
	users    *xsync.Gate          // who is at t, tasks aside
}

// Run is a pageserver until ctx ends. Its directory is the root of e.FS: it
// holds which timelines are attached, and their layers; all of it can be made
// anew of the object store and the WAL. Timelines that were attached before are
// attached again.
func Run(ctx context.Context, e env.Env, cfg Config) error {
	cfg.fill()
	unlock, err := e.FS().Lock(".")
	if err != nil {
		return fmt.Errorf("pageserver %d: its directory: %w", cfg.ID, err)
	}
	defer unlock()
	l, err := e.Net().Listen(ctx, cfg.Listen)
	if err != nil {
		return fmt.Errorf("pageserver %d: listen on %s: %w", cfg.ID, cfg.Listen, err)
	}
	// Whatever asks the object store for data waits for it, all under one
	// budget of repetitions.
	store := objstore.New(e, e.Objects(), objstore.Options{})
	e = objstore.Over(e, store)
	n := &node{e: e, store: store, cfg: cfg, cache: layer.NewCache(cfg.CacheBytes), timelines: map[core.TTID]*attached{}, made: map[core.TTID]*remote.Owner{}, condemned: map[core.TTID]bool{}, begun: map[core.TTID][]*bool{}, openings: map[core.TTID]*opening{},
		leaving: map[core.TTID]bool{}, former: map[core.TTID]former{}, troubles: map[string]string{}}
	n.memory = NewMemory(e, cfg.MemoryBytes)
	n.memory.relieve = n.relieve
	n.downloads = xsync.NewSem(e, remote.Downloads)
	n.attaching.Init(e)
	n.branching.Init(e)
	n.group = xsync.NewGroup(ctx, e)
	n.group.Go("pageserver-serve", func(ctx context.Context) error {
		return port.Serve(ctx, e, l, port.Handlers{PG: n.servePG, HTTP: n.handler()})
	})
	n.group.Go("pageserver-attach", n.attachAll)
	n.group.Go("pageserver-evict", n.evicts)
	err = n.group.Wait()
	for _, a := range n.list() {
		n.detach(a)
	}
	return err
}

// list is the timelines in the order of their ids.
func (n *node) list() []*attached {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sorted()
}

// sorted is list for who holds mu.
func (n *node) sorted() []*attached {
	return slices.SortedFunc(maps.Values(n.timelines), func(a, b *attached) int {
		return strings.Compare(a.t.id.String(), b.t.id.String())
	})
}

// relieve asks the timeline with the largest open layer to flush it.
func (n *node) relieve() {
	var largest *Timeline
	most := int64(0)
	for _, a := range n.list() {
		if size := a.t.account(); size > most {
			largest, most = a.t, size
		}
	}
	if largest != nil {
		largest.poke()
	}
}

// lookup finds an attached timeline by its ids in hexadecimal.
func (n *node) lookup(tenant, timeline string) (*attached, error) {
	var id core.TTID
	var err, err2 error
	id.Tenant, err = core.ParseTenantID(tenant)
	id.Timeline, err2 = core.ParseTimelineID(timeline)
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	if a := n.get(id); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("%w: %s to pageserver %d%s", errNotAttached, id, n.cfg.ID, because(n.trouble(id)))
}

func (n *node) get(id core.TTID) *attached {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.timelines[id]
}

const attachName = "attach.json"

func timelineDir(id core.TTID) string {
	return fmt.Sprintf("tenants/%s-%s/timelines/%s", id.Tenant, core.Unsharded, id.Timeline)
}

// remember writes down that a timeline is attached, for the next start.
func (n *node) remember(id core.TTID, safekeepers []string) error {
	b, err := json.Marshal(AttachRequest{Timeline: id.Timeline, Safekeepers: safekeepers})
	core.Must(err == nil, "attach request: %v", err)
	dir := timelineDir(id)
	if err := writeFile(n.e.FS(), dir, attachName, b); err != nil {
		return fmt.Errorf("remember timeline %s: %w", id, err)
	}
	return nil
}

// comes tells whether a timeline that is not attached was attached before, so
// that attachAll is at it, or was to be attached and could not.
func (n *node) comes(tenant, timeline string) bool {
	var id core.TTID
	var err, err2 error
	id.Tenant, err = core.ParseTenantID(tenant)
	id.Timeline, err2 = core.ParseTimelineID(timeline)
	if err != nil || err2 != nil {
		return false
	}
	_, err = n.e.FS().Stat(timelineDir(id) + "/" + attachName)
	return !errors.Is(err, fs.ErrNotExist) || n.trouble(id) != ""
}

// trouble is why a timeline could not be attached when that was last tried, ""
// if it could.
func (n *node) trouble(id core.TTID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.troubles[timelineDir(id)]
}

// writeFile replaces a file, durably.
func writeFile(fsys env.FS, dir, name string, b []byte) error {
	tmp := path.Join(dir, name+".new")
	f, err := fsys.Open(tmp, env.Write|env.Create|env.Trunc)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil && !(faults.On && faults.Hit(faults.ManifestNotSynced)) {
		err = f.Sync(env.SyncFull)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, path.Join(dir, name)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// troubled notes why a timeline is not attached yet, nil if it is. The same
// reason is logged once, however often it is met.
func (n *node) troubled(dir string, err error) {
	n.mu.Lock()
	was := n.troubles[dir]
	delete(n.troubles, dir)
	if err != nil {
		n.troubles[dir] = err.Error()
	}
	n.mu.Unlock()
	if err != nil && err.Error() != was {
		n.e.Log().Warn("timeline is not attached yet", slog.String("dir", dir), slog.Any("err", err))
	}
}

// remembered lists the directories of timelines that were attached. Besides an
// error of the disk it lists what it found.
func (n *node) remembered() (dirs []string, err error) {
	disk := n.e.FS()
	there := func(e error) bool {
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = fmt.Errorf("which timelines were attached: %w", e)
		}
		return e == nil
	}
	tenants, e := disk.ReadDir("tenants")
	there(e)
	for _, t := range tenants {
		at := "tenants/" + t.Name + "/timelines"
		timelines, e := disk.ReadDir(at)
		there(e)
		for _, tl := range timelines {
			if _, e := disk.Stat(at + "/" + tl.Name + "/" + attachName); there(e) {
				dirs = append(dirs, at+"/"+tl.Name)
			}
		}
	}
	if faults.On && faults.Hit(faults.ForgetsAttached) {
		err = nil
	}
	return dirs, err
}

// timelineAt is the timeline whose directory is dir.
func timelineAt(dir string) (id core.TTID, err error) {
	parts := strings.Split(dir, "/")
	tenant, _, _ := strings.Cut(parts[1], "-")
	var err2 error
	id.Tenant, err = core.ParseTenantID(tenant)
	id.Timeline, err2 = core.ParseTimelineID(parts[3])
	return id, errors.Join(err, err2)
}

// recall reads what remember wrote.
func (n *node) recall(dir string) (req AttachRequest, err error) {
	name := dir + "/" + attachName
	b, err := readFile(n.e.FS(), name, attachLimit)
	if err != nil {
		return req, err
	}
	if err := json.Unmarshal(b, &req); err != nil {
		return req, fmt.Errorf("%s: %w: %w", name, env.ErrCorrupt, err)
	}
	return req, nil
}
