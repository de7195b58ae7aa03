package pageserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/pageserver/remote"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

const (
	// branchWait is how long the making of a branch waits for its parent to
	// reach the branch point: WAL that is committed arrives much sooner.
	branchWait = 20 * time.Second
	// branchPatience bounds what a request to make or delete a timeline waits
	// for the object store.
	branchPatience = 50 * time.Second
)

// errNotAttached reports a timeline that this pageserver does not serve.
var errNotAttached = errors.New("timeline is not attached")

// who names this pageserver to people who look at the object store.
func (n *node) who() string { return fmt.Sprintf("pageserver-%d", n.cfg.ID) }

// branch makes the branch that a request asks for, durably. It is attached
// after that, as any timeline.
func (n *node) branch(ctx context.Context, tenant core.TenantID, req *AttachRequest) error {
	if a := n.get(core.TTID{Tenant: tenant, Timeline: req.Timeline}); a != nil {
		return sameBranch(a.t, req)
	}
	parent := core.TTID{Tenant: tenant, Timeline: req.Ancestor}
	a := n.get(parent)
	if a == nil {
		return fmt.Errorf("branch off %s: %w to pageserver %d", parent, errNotAttached, n.cfg.ID)
	}
	owner, err := a.owns()
	if err != nil {
		return fmt.Errorf("branch off %s: %w", parent, err)
	}
	q := branchRequest{child: req.Timeline, lsn: req.AncestorStart, who: n.who(), wait: branchWait, parent: a.t, owner: owner}
	givenUp := n.begins(core.TTID{Tenant: tenant, Timeline: req.Timeline})
	defer givenUp()
	if _, err := q.point(ctx); err != nil { // without the lock: it may take a while
		return err
	}
	if err := n.branching.LockCtx(ctx); err != nil {
		return err
	}
	defer n.branching.Unlock()
	if n.get(parent) != a {
		return fmt.Errorf("branch off %s: %w to pageserver %d any more", parent, errNotAttached, n.cfg.ID)
	}
	if givenUp() {
		return fmt.Errorf("branch %s: %w while it was to be made", req.Timeline, remote.ErrDeleted)
	}
	made, err := q.make(ctx, n.e)
	if err == nil {
		n.giveBack(made)
	}
	return err
}

// begins notes that a branch is being made. The function that it returns tells
// whether the branch was deleted since, of which nothing was there to delete,
// and ends the note.
func (n *node) begins(id core.TTID) (givenUp func() bool) {
	deleted := new(bool)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun[id] = append(n.begun[id], deleted)
	return func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.begun[id] = slices.DeleteFunc(n.begun[id], func(d *bool) bool { return d == deleted })
		if len(n.begun[id]) == 0 {
			delete(n.begun, id)
		}
		return *deleted
	}
}

// giveUp ends the making of a branch of which nothing is there yet.
func (n *node) giveUp(id core.TTID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, deleted := range n.begun[id] {
		*deleted = true
	}
}

// sameBranch refuses a branch that is there already and is another.
func sameBranch(t *Timeline, req *AttachRequest) error {
	at := remote.BranchPoint{Timeline: req.Ancestor, LSN: t.ctl.Format().RoundUp(req.AncestorStart)}
	if have := t.index.Ancestor; have == nil || *have != at {
		return fmt.Errorf("timeline %s: %w, and is no branch of %s at %s", t.id, remote.ErrExists, at.Timeline, at.LSN)
	}
	return nil
}

// takeMade is the owner of a timeline that was just made here and is not
// attached yet, nil if it was not.
func (n *node) takeMade(id core.TTID) *remote.Owner {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.made[id]
	delete(n.made, id)
	return o
}

// giveBack keeps the owner of a timeline that could not be opened, for the next
// attempt.
func (n *node) giveBack(o *remote.Owner) {
	if o == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if had := n.made[o.ID()]; n.timelines[o.ID()] == nil && (had == nil || had.Generation() < o.Generation()) {
		n.made[o.ID()] = o
	}
}

// owns is the timeline's owner. There is none while the object store has not
// let this pageserver take it over.
func (a *attached) owns() (*remote.Owner, error) {
	o := a.up.Owner()
	if o == nil {
		return nil, fmt.Errorf("timeline %s is not taken over yet: %w: %s", a.t.id, env.ErrUnavailable, a.up.Progress().Wait)
	}
	return o, o.Superseded()
}

// A behindError reports an ancestor that has not come back to the branch point
// since this pageserver lost it.
type behindError struct {
	t   *Timeline
	lsn core.LSN
}

func (e *behindError) Error() string {
	return fmt.Sprintf("timeline %s has reached %s, a branch begins at %s", e.t.id, e.t.LastRecord().LSN, e.lsn)
}

func (e *behindError) Unwrap() error { return ErrBehind }

// attachSoon attaches a timeline, and waits for its ancestors where they are
// behind.
func (n *node) attachSoon(ctx context.Context, id core.TTID, safekeepers []string) (*attached, error) {
	for {
		a, err := n.attach(ctx, id, safekeepers)
		var behind *behindError
		if !errors.As(err, &behind) {
			return a, err
		}
		if err := behind.t.Wait(ctx, behind.lsn, branchWait); err != nil {
			return nil, err
		}
	}
}

// deleteTimeline deletes a timeline for good: its objects, this pageserver's
// files, and then its name in the ancestor's index. It may be repeated, also
// for one that was made by half.
func (n *node) deleteTimeline(ctx context.Context, id core.TTID) error {
	if err := n.branching.LockCtx(ctx); err != nil {
		return err
	}
	defer n.branching.Unlock()
	x, err := remote.Peek(ctx, n.e, id)
	missing := errors.Is(err, env.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	if missing {
		err = n.entomb(ctx, id)
	} else {
		err = n.destroy(ctx, id, x)
	}
	if err != nil {
		return err
	}
	if err := n.removeDir(timelineDir(id)); err != nil {
		return err
	}
	named, err := n.forgetChild(ctx, id, x)
	if err == nil && missing && !named {
		err = fmt.Errorf("timeline %s: %w", id, env.ErrNotFound)
	}
	return err
}

// entomb gives a branch its tombstone of which no more is there than its name
// in its parent's index: whoever still wants to make it is to be refused.
func (n *node) entomb(ctx context.Context, id core.TTID) error {
	n.giveUp(id)
	for _, a := range n.list() {
		owner, err := a.owns()
		if a.t.id.Tenant != id.Tenant || err != nil {
			continue
		}
		for _, c := range owner.Index().Children {
			if c.Timeline != id.Timeline {
				continue
			}
			return entomb(ctx, n.e, owner, c, n.who())
		}
	}
	return nil
}

// destroy detaches a timeline and deletes its objects. If that fails it is
// attached again, so that it is not lost sight of.
func (n *node) destroy(ctx context.Context, id core.TTID, x *Index) error {
	a, err := n.condemn(ctx, id)
	if err != nil {
		return err
	}
	defer n.spare(id)
	if a == nil {
		n.takeMade(id)
		return remote.Destroy(ctx, n.e, id, n.who())
	}
	owner, err := a.owns()
	if err == nil {
		err = forget(ctx, n.e, owner, n.who())
	}
	if err == nil && len(owner.Index().Children) > 0 && !(faults.On && faults.Hit(faults.BranchOrphans)) {
		return owner.Destroy(ctx) // which refuses it by name
	}
	if err != nil {
		return err
	}
	if err := n.attaching.LockCtx(ctx); err != nil {
		return err
	}
	if n.get(id) != a {
		n.attaching.Unlock()
		return fmt.Errorf("timeline %s was just opened anew: %w", id, env.ErrUnavailable)
	}
	n.detach(a)
	n.attaching.Unlock()
	if err = destroy(ctx, n.e, owner); err != nil && !owner.Index().Deleted {
		n.giveBack(owner)
		n.spare(id)
		_, again := n.attach(ctx, id, a.receiver.list())
		return errors.Join(err, again)
	}
	return err
}

// condemn keeps a timeline from being attached until spare, and returns it if
// it is.
func (n *node) condemn(ctx context.Context, id core.TTID) (*attached, error) {
	n.mu.Lock()
	n.condemned[id] = true
	o := n.openings[id]
	n.mu.Unlock()
	if o != nil {
		o.cancel(fmt.Errorf("timeline %s is being deleted: %w", id, env.ErrUnavailable))
		if _, err := o.end.Await(ctx, func(x *opened) bool { return x != nil }); err != nil {
			n.spare(id)
			return nil, err
		}
	}
	return n.get(id), nil
}

func (n *node) spare(id core.TTID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.condemned, id)
}

// detach ends the tasks of a timeline and serves it no more.
func (n *node) detach(a *attached) {
	n.mu.Lock()
	delete(n.timelines, a.t.id)
	n.leaving[a.t.id] = true
	n.mu.Unlock()
	a.tasks.Cancel(fmt.Errorf("timeline %s: %w any more", a.t.id, errNotAttached))
	a.fetcher.Close()
	a.users.Close(context.Background())
	a.tasks.Wait()
	a.t.Close()
	n.mu.Lock()
	delete(n.leaving, a.t.id)
	n.mu.Unlock()
}

// within is ctx that ends with the timeline's service, too; stop must be called.
func (a *attached) within(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := xsync.WithCancel(ctx)
	watch, unwatch := xsync.WithCancel(a.tasks.Context())
	unhook := watch.(*xsync.Context).AfterFunc(func() { cancel(xsync.Cause(a.tasks.Context())) })
	return ctx, func() {
		unhook()
		unwatch(nil)
		cancel(nil)
	}
}

// forgetChild takes a child out of the index of its ancestor, as which x names
// it, or any timeline that names it; named tells whether there was one. An
// ancestor that this pageserver never served forgets it when it is deleted.
func (n *node) forgetChild(ctx context.Context, id core.TTID, x *Index) (named bool, err error) {
	if x != nil && x.Ancestor != nil {
		parent := core.TTID{Tenant: id.Tenant, Timeline: x.Ancestor.Timeline}
		if n.get(parent) == nil && n.comes(parent.Tenant.String(), parent.Timeline.String()) {
			return false, fmt.Errorf("timeline %s is deleted; its ancestor %s, which still names it, is not attached yet: %w", id, parent.Timeline, env.ErrUnavailable)
		}
	}
	for _, a := range n.list() {
		if a.t.id.Tenant != id.Tenant || x != nil && (x.Ancestor == nil || x.Ancestor.Timeline != a.t.id.Timeline) {
			continue
		}
		owner, err := a.owns()
		if err != nil {
			return named, err
		}
		for _, c := range owner.Index().Children {
			if c.Timeline == id.Timeline {
				named = true
			}
		}
		if !named {
			continue
		}
		return named, owner.Change(ctx, func(x *Index) error {
			x.RemoveChild(id.Timeline)
			return nil
		})
	}
	return named, nil
}

// removeDir removes a directory and what is in it, if it is there.
func (n *node) removeDir(dir string) error {
	disk := n.e.FS()
	entries, err := disk.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name)
		switch {
		case err != nil:
		case e.Dir:
			err = n.removeDir(at)
		default:
			err = disk.Remove(at)
		}
	}
	if err == nil {
		err = disk.Remove(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // else somebody else removes it as well
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return disk.SyncDir(path.Dir(dir))
}

func (n *node) removeTimeline(w http.ResponseWriter, r *http.Request) {
	var id core.TTID
	var err, err2 error
	id.Tenant, err = core.ParseTenantID(r.PathValue("tenant"))
	id.Timeline, err2 = core.ParseTimelineID(r.PathValue("timeline"))
	if err = errors.Join(err, err2); err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := xsync.WithTimeout(r.Context(), n.e, branchPatience)
	defer cancel()
	if err := n.deleteTimeline(ctx, id); err != nil {
		http1.WriteError(w, statusOf(err), err)
		return
	}
	n.troubled(timelineDir(id), nil)
	http1.WriteJSON(w, struct{}{})
}

// statusOf is the HTTP status of an error that making, attaching or deleting a
// timeline ends with.
func statusOf(err error) int {
	for _, is := range []struct {
		err    error
		status int
	}{
		{ErrBadLSN, http.StatusBadRequest},
		{remote.ErrChildren, http.StatusConflict},
		{remote.ErrExists, http.StatusConflict},
		{remote.ErrSuperseded, http.StatusConflict},
		{remote.ErrDeleted, http.StatusGone},
		{errNotAttached, http.StatusNotFound},
		{env.ErrNotFound, http.StatusNotFound},
		{ErrBehind, http.StatusServiceUnavailable},
		{env.ErrUnavailable, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, is.err) {
			return is.status
		}
	}
	return http.StatusInternalServerError
}
