package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/register"
	"xenon/core/xsync"
)

// Errors of owners, found with errors.Is.
var (
	// ErrSuperseded reports that a newer generation owns the timeline. What was
	// asked for did not happen as far as anybody else sees.
	ErrSuperseded = errors.New("superseded by a newer owner")
	// ErrDeleted reports a timeline that has a tombstone.
	ErrDeleted = errors.New("timeline is deleted")
	// ErrExists reports a timeline that was to be made and is there.
	ErrExists = errors.New("timeline exists already")
	// ErrChildren reports a timeline that others branch off.
	ErrChildren = errors.New("timeline has children")
)

// An Owner is one generation of a shard of a timeline: the only one that may
// write its index. Its methods may be called concurrently.
type Owner struct {
	e     env.Env
	id    core.TTID
	gen   core.Generation
	index *register.Register // index-<gen>

	change xsync.Mutex    // held while the index is being written; guards state
	state  register.State // of index, as far as known

	mu       sync.Mutex          // leaf: guards what follows
	base     *Index              // what the first Change begins with
	stored   *Index              // certainly stored, never changed; nil before the first
	sure     *Index              // stored before a look that found no newer generation
	newer    core.Generation     // that superseded this one, 0 if none is known
	next     uint64              // number of the next upload
	uploaded map[LayerEntry]bool // stored, and in no index yet
}

// Acquire takes a timeline over: it mints a generation, loads the newest index
// and writes it as its own. who is kept for people who look. Nothing that an
// earlier owner was sure of is lost by it, and all earlier owners are
// superseded. While the store does not answer it tries again, until ctx ends;
// each call may mint a number.
//
// A timeline that never was is [env.ErrNotFound], a deleted one [ErrDeleted].
func Acquire(ctx context.Context, e env.Env, id core.TTID, who string) (*Owner, error) {
	if x, err := Peek(ctx, e, id); err != nil {
		return nil, err
	} else if x.Deleted {
		return nil, fmt.Errorf("take timeline %s over: %w", id, ErrDeleted)
	}
	o, err := acquire(ctx, e, id, who)
	if err == nil && o.Index().Deleted {
		err = fmt.Errorf("take timeline %s over: %w", id, ErrDeleted)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// acquire is Acquire for deleted timelines too.
func acquire(ctx context.Context, e env.Env, id core.TTID, who string) (*Owner, error) {
	o, err := mint(ctx, e, id, who)
	if err != nil {
		return nil, err
	}
	if o.base, err = o.load(ctx); err != nil {
		return nil, fmt.Errorf("take timeline %s over: %w", id, err)
	}
	o.next = o.base.NextUpload
	if faults.On && faults.Hit(faults.RemoteClaimsLoaded) {
		o.stored, o.sure = o.base, o.base
		return o, nil
	}
	// Its own index comes before all else. Until it is there, an owner of a
	// generation between the loaded index's and this one could still write its
	// first, made of an older state, and a later owner would take that.
	if err := o.Change(ctx, nil); err != nil {
		return nil, fmt.Errorf("take timeline %s over: %w", id, err)
	}
	return o, nil
}

// mint makes an owner that has read nothing yet.
func mint(ctx context.Context, e env.Env, id core.TTID, who string) (*Owner, error) {
	gen, err := register.Mint(ctx, e, prefix(id), []byte(who))
	if err != nil {
		return nil, err
	}
	o := &Owner{e: e, id: id, gen: gen, uploaded: map[LayerEntry]bool{}}
	o.index = register.NewSized(e, indexName(id, gen), MaxIndex)
	o.change.Init(e)
	return o, nil
}

// load reads the newest index of an earlier generation.
func (o *Owner) load(ctx context.Context) (*Index, error) {
	gens, err := indices(ctx, o.e, o.id)
	if err != nil {
		return nil, err
	}
	gen, err := newest(gens, o.gen)
	if err != nil {
		return nil, err
	}
	return readIndex(ctx, o.e, o.id, gen)
}

// newest chooses the index that generation gen builds on, of those that there
// are, in their order.
func newest(there []core.Generation, gen core.Generation) (core.Generation, error) {
	if faults.On && faults.Hit(faults.RemoteLoadsOldest) && len(there) > 0 {
		return there[0], nil
	}
	switch last := len(there) - 1; {
	case last < 0:
		return 0, fmt.Errorf("it has no index: %w", env.ErrNotFound)
	case there[last] > gen:
		return 0, fmt.Errorf("generation %d has an index already, this is generation %d: %w", there[last], gen, ErrSuperseded)
	case there[last] == gen:
		return 0, fmt.Errorf("generation %d was just minted and has an index: %w", gen, env.ErrCorrupt)
	default:
		return there[last], nil
	}
}

// Create makes a timeline that is not there yet: x says what it is, without
// layers. Nothing is stored of it before the first [Owner.Change], so that its
// layers can be uploaded first. [ErrExists] and [ErrDeleted] name an id that is
// taken; a Create that ended half way is no obstacle.
func Create(ctx context.Context, e env.Env, x Index, who string) (*Owner, error) {
	id := x.TTID()
	if err := free(ctx, e, id); err != nil {
		return nil, err
	}
	o, err := mint(ctx, e, id, who)
	if err != nil {
		return nil, err
	}
	// Somebody may have been faster. If he was, and was sure of it, then his
	// index was there before this generation; else he will find it newer.
	if err := free(ctx, e, id); err != nil {
		return nil, err
	}
	x.Shard = core.Unsharded.String()
	if x.DiskConsistent.LSN == 0 {
		x.DiskConsistent = Record{x.LSN, x.PrevLSN}
	}
	o.base, o.next = &x, x.NextUpload
	return o, nil
}

// free refuses an id that a timeline has.
func free(ctx context.Context, e env.Env, id core.TTID) error {
	x, err := Peek(ctx, e, id)
	switch {
	case errors.Is(err, env.ErrNotFound):
		return nil
	case err != nil:
		return err
	case x.Deleted:
		return fmt.Errorf("make timeline %s: %w: take another id", id, ErrDeleted)
	}
	return fmt.Errorf("make timeline %s: %w: take another id", id, ErrExists)
}

// ID names the timeline.
func (o *Owner) ID() core.TTID { return o.id }

// Generation is the owner's number.
func (o *Owner) Generation() core.Generation { return o.gen }

// Index is the last index of this owner that is certainly stored. It must not
// be changed. After [Create] it is nil before the first Change.
func (o *Owner) Index() *Index {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stored
}

// Superseded is [ErrSuperseded] once a newer generation was seen, else nil.
// It asks nobody.
func (o *Owner) Superseded() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.superseded()
}

// superseded is Superseded for who holds mu.
func (o *Owner) superseded() error {
	if o.newer == 0 {
		return nil
	}
	return fmt.Errorf("timeline %s, generation %d: %w: generation %d", o.id, o.gen, ErrSuperseded, o.newer)
}

// RemoteConsistent is up to where the WAL is in every index to come, so that
// nobody needs it any more for this shard: DiskConsistent of the last index
// that was stored before a look found no newer generation. It is 0, nothing to
// be reported, once the owner knows that it is superseded. It asks nobody:
// what was true at the look stays true.
func (o *Owner) RemoteConsistent() core.LSN {
	o.mu.Lock()
	defer o.mu.Unlock()
	sure := o.sure
	if faults.On && faults.Hit(faults.RemoteReportUnseen) {
		sure = o.stored
	}
	if o.newer != 0 || sure == nil {
		return 0
	}
	return sure.DiskConsistent.LSN
}

// Change stores what f makes of the index, and returns nil once that is certain
// and a look after it found no newer generation: then the change is part of
// every index to come. One Change runs at a time.
//
// After an error other than [ErrSuperseded] and that of f, the change may be in
// or may yet get in, so the caller repeats it: f looks at what is there. f may
// be called several times; it must not wait. A layer may be entered only after
// this owner's Upload of it. A nil f stores the index as it is.
func (o *Owner) Change(ctx context.Context, f func(*Index) error) error {
	if err := o.change.LockCtx(ctx); err != nil {
		return err
	}
	defer o.change.Unlock()
	if err := o.Superseded(); err != nil {
		return err
	}
	if err := o.write(ctx, f); err != nil {
		if transient(err) {
			return err
		}
		// A newer owner that deletes the timeline takes old indices away.
		return errors.Join(o.look(ctx), err)
	}
	return o.confirm(ctx)
}

// write stores what f makes of the index that is there. The register knows what
// became of each write; a late one of an earlier Change can win against this
// one, which then is made anew on top of it.
func (o *Owner) write(ctx context.Context, f func(*Index) error) error {
	for {
		draft, err := o.draft(f)
		if err != nil {
			return err
		}
		s, err := o.index.Write(ctx, o.state, draft.Encode())
		if errors.Is(err, register.ErrChanged) {
			if err := o.adopt(s); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		o.state = s
		o.keep(draft)
		return nil
	}
}

// adopt takes what a late write of this owner stored as what is there.
func (o *Owner) adopt(s register.State) error {
	x, err := decodeFor(o.id, o.gen, s.Payload)
	if err != nil {
		return err
	}
	o.state = s
	o.keep(x)
	return nil
}

func (o *Owner) keep(x *Index) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stored, o.base = x, nil
	if len(o.uploaded) > 0 {
		for _, l := range x.Layers {
			delete(o.uploaded, l)
		}
	}
}

// draft is the index as f changes it.
func (o *Owner) draft(f func(*Index) error) (*Index, error) {
	o.mu.Lock()
	from, next := o.stored, o.next
	if from == nil {
		from = o.base
	}
	o.mu.Unlock()
	draft := from.clone()
	if f != nil {
		if err := f(draft); err != nil {
			return nil, err
		}
	}
	draft.Generation, draft.NextUpload = o.gen, next
	o.check(from, draft)
	return draft, nil
}

// check holds a change to what every owner relies on.
func (o *Owner) check(from, to *Index) {
	core.Must(from.TTID() == to.TTID() && to.TTID() == o.id && from.SystemID == to.SystemID && from.LSN == to.LSN,
		"index of timeline %s becomes one of timeline %s from %s on", o.id, to.TTID(), to.LSN)
	core.Must(from.DiskConsistent.LSN <= to.DiskConsistent.LSN,
		"timeline %s is consistent up to %s and goes back to %s", o.id, from.DiskConsistent.LSN, to.DiskConsistent.LSN)
	core.Must(!from.Deleted || to.Deleted, "timeline %s comes back", o.id)
	known := make(map[LayerEntry]bool, len(from.Layers))
	for _, l := range from.Layers {
		known[l] = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range to.Layers {
		core.Must(known[l] || o.uploaded[l], "layer %s enters the index of timeline %s before it is uploaded", l.Name, o.id)
	}
}

// confirm looks for a newer generation after the index was stored. If there is
// none, every later owner loads this index or one that descends from it.
func (o *Owner) confirm(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sure = o.stored
	return nil
}

// Look asks whether there is a newer generation, which is [ErrSuperseded] from
// then on.
func (o *Owner) Look(ctx context.Context) error { return o.look(ctx) }

// look asks for the newest generation.
func (o *Owner) look(ctx context.Context) error {
	gen, err := register.Newest(ctx, o.e, prefix(o.id))
	if err != nil {
		return fmt.Errorf("look for the owner of timeline %s: %w", o.id, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if gen > o.gen {
		o.newer = gen
	}
	return o.superseded()
}

// Destroy deletes the timeline: a tombstone in the index, then, after the look,
// all layers. A timeline with children is refused ([ErrChildren]). After an
// error it is called again.
func (o *Owner) Destroy(ctx context.Context) error {
	var layers []LayerEntry
	err := o.Change(ctx, func(x *Index) error {
		if len(x.Children) > 0 {
			return fmt.Errorf("delete timeline %s: %w: %s", o.id, ErrChildren, childNames(x.Children))
		}
		layers = append(layers, x.Layers...)
		x.Layers, x.Deleted = nil, true
		return nil
	})
	if err != nil {
		return err
	}
	if err := o.deleteLayers(ctx, layers); err != nil {
		return err
	}
	_, err = o.Sweep(ctx)
	return err
}

func childNames(children []BranchPoint) string {
	var names []string
	for _, c := range children {
		names = append(names, fmt.Sprintf("%s at %s", c.Timeline, c.LSN))
	}
	return strings.Join(names, ", ")
}

// Destroy deletes a timeline that this process does not own: it takes it over
// for that. A timeline with a tombstone is no error: what is left of it goes.
func Destroy(ctx context.Context, e env.Env, id core.TTID, who string) error {
	x, err := Peek(ctx, e, id)
	if err == nil && len(x.Children) > 0 {
		err = fmt.Errorf("delete timeline %s: %w: %s", id, ErrChildren, childNames(x.Children))
	}
	if err != nil {
		return err
	}
	o, err := acquire(ctx, e, id, who)
	if err != nil {
		return err
	}
	return o.Destroy(ctx)
}

// AddChild and RemoveChild are what a Change does to the parent of a branch.
// Both may be repeated.
func (x *Index) AddChild(c BranchPoint) {
	if !slices.Contains(x.Children, c) {
		x.Children = append(x.Children, c)
		slices.SortFunc(x.Children, func(a, b BranchPoint) int { return strings.Compare(a.Timeline.String(), b.Timeline.String()) })
	}
}

// RemoveChild forgets a child; see [Index.AddChild].
func (x *Index) RemoveChild(child core.TimelineID) {
	x.Children = slices.DeleteFunc(x.Children, func(c BranchPoint) bool { return c.Timeline == child })
}
