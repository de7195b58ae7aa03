package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/cluster"
	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/compute"
	"xenon/compute/filetree"
	"xenon/core"
	"xenon/core/register"
)

// branches makes and removes branches. A branch is entered in the registry as
// being made before anything else is there of it, and as being removed before
// anything goes: whatever ends the work in between, it is known by name what
// to take away. See sweep.
type branches struct {
	cluster cluster.Cluster
	log     *slog.Logger
	// ctx ends with the installation. What decides over a branch is carried
	// through under it, also when whoever asked has gone away.
	ctx context.Context
	// newest is the commit LSN that the branch's endpoint here knows, 0 if
	// there is none.
	newest func(ctx context.Context, b branch.Branch) (core.LSN, error)
	// unused runs f while no endpoint can start, unless one uses the branch.
	unused func(ctx context.Context, b branch.Branch, f func() error) error

	// A deletion looks at all branches: nobody makes one meanwhile.
	deleting sync.RWMutex

	mu    sync.Mutex
	names map[string]bool // at which somebody is
	left  map[string]error
}

func newBranches(ctx context.Context, c cluster.Cluster, log *slog.Logger) *branches {
	return &branches{cluster: c, log: log, ctx: ctx, names: map[string]bool{}, left: map[string]error{}}
}

// hold is tryHold once whoever is at the name has done, if that is soon.
func (m *branches) hold(ctx context.Context, name string) (release func(), err error) {
	for began := time.Now(); ; {
		release, err := m.tryHold(name)
		if err == nil || time.Since(began) > erasePatience {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// tryHold keeps everybody else from a name until release.
func (m *branches) tryHold(name string) (release func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] {
		return nil, fmt.Errorf("branch %s: %w", name, errBusy)
	}
	m.names[name] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.names, name)
	}, nil
}

// load finds a live branch; a name that is missing suggests another.
func (m *branches) load(ctx context.Context, name string) (branch.Branch, error) {
	b, err := branch.Load(ctx, m.cluster.Env, name)
	if !errors.Is(err, branch.ErrMissing) {
		return b, err
	}
	all, lerr := branch.List(ctx, m.cluster.Env)
	if lerr != nil {
		return b, err
	}
	var names []string
	for _, other := range all {
		names = append(names, other.Name)
	}
	if near := conf.Nearest(name, names); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return b, err
}

// create makes a branch that begins as its parent was at a moment.
func (m *branches) create(ctx context.Context, r ctl.BranchRequest) (b branch.Branch, err error) {
	if err := branch.CheckName(r.Name); err != nil {
		return b, err
	}
	release, err := m.hold(ctx, r.Name)
	if err != nil {
		return b, err
	}
	defer release()
	m.deleting.RLock()
	defer m.deleting.RUnlock()
	entry, err := m.free(ctx, r.Name)
	if err != nil {
		return b, err
	}
	parent, err := m.load(ctx, r.From)
	if err != nil {
		return b, err
	}
	at, err := m.resolve(ctx, parent, r.At)
	if err != nil {
		return b, err
	}
	if b, err = m.childOf(parent, r.Name, at); err != nil {
		return b, err
	}
	b.State = branch.Creating
	if entry, err = entry.Set(ctx, m.cluster.Env, b); err != nil {
		return b, taken(err, r.Name)
	}
	if b.Missing, err = m.build(ctx, b, parent); err != nil {
		return b, m.undo(entry, err)
	}
	b.State = branch.Live
	if _, err = entry.Set(m.ctx, m.cluster.Env, b); err != nil {
		return b, taken(err, r.Name)
	}
	if len(b.Missing) > 0 {
		m.leave(b.Name, errIncomplete(b))
	}
	return b, nil
}

func errIncomplete(b branch.Branch) error {
	return fmt.Errorf("safekeepers %v were away when it was made, and get its WAL when they are back", b.Missing)
}

// free finds the entry of a name that no branch has. What is left of one that
// was not made to the end, or not removed, goes first.
func (m *branches) free(ctx context.Context, name string) (branch.Entry, error) {
	entry, err := branch.Find(ctx, m.cluster.Env, name)
	switch {
	case err != nil:
		return entry, err
	case entry.State == branch.Live:
		if name == branch.Main {
			return entry, fmt.Errorf("%w: %s; choose another name", branch.ErrExists, story(entry.Branch))
		}
		return entry, fmt.Errorf("%w: %s; choose another name, or delete it with xenon branch delete %s", branch.ErrExists, story(entry.Branch), name)
	case entry.State == branch.Deleted:
		return entry, nil
	}
	if entry, err = m.erase(ctx, entry); err != nil {
		return entry, fmt.Errorf("branch %s is not wholly deleted yet: %w", name, err)
	}
	return entry, nil
}

// story tells where a branch came from.
func story(b branch.Branch) string {
	s := b.Name
	if b.Parent != "" {
		s += fmt.Sprintf(", made from %s at %s", b.Parent, b.Start)
	}
	if !b.Created.IsZero() {
		s += " on " + b.Created.Format(time.RFC3339)
	}
	return s
}

func taken(err error, name string) error {
	if errors.Is(err, register.ErrChanged) {
		return fmt.Errorf("%w, made by somebody else just now: %s", branch.ErrExists, name)
	}
	return err
}

// childOf describes a branch of parent at an LSN.
func (m *branches) childOf(parent branch.Branch, name string, at core.LSN) (b branch.Branch, err error) {
	b = parent
	b.Name, b.Parent, b.Ancestor, b.Missing = name, parent.Name, parent.Timeline, nil
	b.Start, b.Created = startAt(parent, at), time.Now().UTC()
	if b.Timeline, err = core.NewTimelineID(m.cluster.Env.Entropy()); err != nil {
		return b, err
	}
	b.OwnRegisters()
	return b, nil
}

// build makes the parts of a branch, all at once: nobody looks at any of them
// before the registry has the branch. Safekeepers that are missing do not hold
// it up.
func (m *branches) build(ctx context.Context, b, parent branch.Branch) (missing []core.NodeID, err error) {
	ctx, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	err = cluster.AtOnce(
		func() error { return m.cluster.Make(ctx, b) },
		func() (err error) { missing, err = m.cluster.CreateWAL(ctx, b, nil); return err },
		func() error { return m.copySettings(ctx, parent, b) },
	)
	return missing, err
}

// buildPatience bounds how long a branch waits for nodes that are away.
const buildPatience = time.Minute

// copySettings gives a branch the settings files that its parent has now.
func (m *branches) copySettings(ctx context.Context, from, to branch.Branch) error {
	for _, name := range filetree.KeptFiles {
		content, there, err := compute.KeptFile(ctx, m.cluster.Env, from.RegisterName(), name)
		if err == nil && there {
			err = compute.KeepFile(ctx, m.cluster.Env, to.RegisterName(), name, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// erasePatience is how long a command waits for nodes to take away what they
// have of a branch. A node that is away does it later.
const erasePatience = 10 * time.Second

// undo takes away what there is of a branch that could not be made.
func (m *branches) undo(entry branch.Entry, why error) error {
	ctx, cancel := context.WithTimeout(m.ctx, erasePatience)
	defer cancel()
	if _, err := m.erase(ctx, entry); err != nil {
		m.leave(entry.Name, err)
	}
	return fmt.Errorf("branch %s could not be made: %w", entry.Name, why)
}

// condemn enters a branch as being removed: from here on nobody can finish
// making it, or begin to use it.
func (m *branches) condemn(ctx context.Context, entry branch.Entry) (branch.Entry, error) {
	if entry.State == branch.Deleting {
		return entry, nil
	}
	b := entry.Branch
	b.State = branch.Deleting
	return entry.Set(ctx, m.cluster.Env, b)
}

// erase takes away what there is of a branch and frees its name. Repeating it
// is fine.
func (m *branches) erase(ctx context.Context, entry branch.Entry) (branch.Entry, error) {
	entry, err := m.condemn(ctx, entry)
	if err != nil {
		return entry, err
	}
	b := entry.Branch
	if err := m.cluster.RemoveWAL(ctx, b.TTID()); err != nil {
		return entry, err
	}
	if err := m.cluster.RemovePages(ctx, b.TTID()); err != nil {
		return entry, err
	}
	b.State = branch.Deleted
	return entry.Set(ctx, m.cluster.Env, b)
}

// remove deletes a branch that nobody uses and no other began from.
func (m *branches) remove(ctx context.Context, name string) (ctl.BranchRemoval, error) {
	done := ctl.BranchRemoval{Name: name}
	if name == branch.Main {
		return done, fmt.Errorf("branch %s cannot be deleted: an installation begins with it", name)
	}
	release, err := m.hold(ctx, name)
	if err != nil {
		return done, err
	}
	defer release()
	m.deleting.Lock()
	defer m.deleting.Unlock()
	b, err := m.load(ctx, name)
	if err != nil {
		return done, err
	}
	if err := m.childless(ctx, b); err != nil {
		return done, err
	}
	var entry branch.Entry
	err = m.unused(ctx, b, func() (err error) {
		if entry, err = branch.Find(ctx, m.cluster.Env, name); err == nil {
			entry, err = m.condemn(ctx, entry)
		}
		return err
	})
	if err != nil {
		return done, err
	}
	ctx, cancel := context.WithTimeout(m.ctx, erasePatience)
	defer cancel()
	if _, err := m.erase(ctx, entry); err != nil {
		m.leave(name, err)
		done.Left = err.Error()
	}
	return done, nil
}

// childless refuses a branch that others began from, and names them. Those
// that are half removed are removed wholly.
func (m *branches) childless(ctx context.Context, b branch.Branch) error {
	all, err := branch.Entries(ctx, m.cluster.Env)
	if err != nil {
		return err
	}
	var live []string
	for _, n := range all {
		switch {
		case n.Ancestor != b.Timeline || n.State == branch.Deleted:
		case n.State == branch.Live:
			live = append(live, n.Name)
		default:
			if err := m.eraseNamed(ctx, n.Name); err != nil {
				return fmt.Errorf("branch %s began from %s and is not wholly deleted yet: %w", n.Name, b.Name, err)
			}
		}
	}
	if len(live) > 0 {
		return fmt.Errorf("branch %s has branches that began from it: delete %s first", b.Name, strings.Join(live, ", "))
	}
	return nil
}
