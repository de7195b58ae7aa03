package remote

import (
	"context"
	"errors"
	"sync"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
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
	e      env.Env
	id     core.TTID
	gen    core.Generation
	index  *register.Register // index-<gen>
	change xsync.Mutex        // held while the index is being written

	mu       sync.Mutex // leaf: guards what follows
	state    register.State
	unsure   bool   // state may be out of date: a write's outcome is unknown
	stored   *Index // never changed; nil before the first write
	remote   core.LSN
	newer    core.Generation // that superseded this one, 0 if none is known
	next     uint64          // number of the next upload
	uploaded map[string]bool // objects that may enter the index
}

// Peek reads the newest index of a timeline, whoever owns it: to look, not to
// build on. A timeline that never was is [env.ErrNotFound], a deleted one
// [ErrDeleted]. While the store does not answer it tries again, until ctx ends.
func Peek(ctx context.Context, e env.Env, id core.TTID) (*Index, error) { panic("soon") }

// Acquire takes a timeline over: it mints a generation, loads the newest index
// and writes it as its own. who is kept for people who look. Nobody's work is
// lost by it, but every earlier owner is superseded. While the store does not
// answer it tries again, until ctx ends; each call may mint a number.
func Acquire(ctx context.Context, e env.Env, id core.TTID, who string) (*Owner, error) {
	panic("soon")
}

// Create makes a timeline that is not there yet: x says what it is, without
// layers. Nothing is stored of it before the first [Owner.Change], so that its
// layers can be uploaded first. [ErrExists] and [ErrDeleted] name an id that is
// taken; a Create that ended half way is no obstacle.
func Create(ctx context.Context, e env.Env, x Index, who string) (*Owner, error) { panic("soon") }

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
func (o *Owner) Superseded() error { panic("soon") }

// RemoteConsistent is up to where the WAL is in every index to come, so that
// nobody needs it any more for this shard: DiskConsistent of the last index
// that was stored before a look found no newer generation. It is 0, nothing to
// be reported, once the owner knows that it is superseded. It asks nobody.
func (o *Owner) RemoteConsistent() core.LSN { panic("soon") }

// Upload stores a layer under a name of its own and returns what to enter in
// the index. It tries once; the caller tries again, under another name.
func (o *Owner) Upload(ctx context.Context, x layer.Extent, body env.Body) (LayerEntry, error) {
	panic("soon")
}

// Change stores what f makes of the index, and returns nil once that is certain
// and a look after it found no newer generation: then the change is part of
// every index to come. One Change runs at a time.
//
// After an error other than [ErrSuperseded] and that of f, the change may be in
// or may yet get in, so the caller repeats it: f looks at what is there. f may
// be called several times; it must not wait. A layer may be entered only after
// this owner's Upload of it. A nil f stores the index as it is.
func (o *Owner) Change(ctx context.Context, f func(*Index) error) error { panic("soon") }

// Remove takes layers out of the index, looks for a newer generation, and only
// then deletes their objects. An object that cannot be deleted is left to
// [Owner.Sweep].
func (o *Owner) Remove(ctx context.Context, layers []LayerEntry) error { panic("soon") }

// Destroy deletes the timeline: a tombstone in the index, then, after the look,
// all layers. A timeline with children is refused ([ErrChildren]). After an
// error it is called again.
func (o *Owner) Destroy(ctx context.Context) error { panic("soon") }

// Destroy deletes a timeline that this process does not own: it takes it over
// for that. A timeline with a tombstone is no error: what is left of it goes.
func Destroy(ctx context.Context, e env.Env, id core.TTID, who string) error { panic("soon") }

// Sweep deletes layer objects of earlier generations that the index does not
// name: uploads that nobody entered, deletions cut short. It says how many.
func (o *Owner) Sweep(ctx context.Context) (int, error) { panic("soon") }
