package up

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"xenon/cmd/xenon/internal/branch"
)

// leave notes what sweep is to do.
func (m *branches) leave(name string, why error) {
	m.log.Warn("something is left to do for a branch", "branch", name, "reason", why)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left[name] = why
}

// sweepEvery is how often sweep looks whether something is left.
const sweepEvery = 5 * time.Second

// sweep takes away, until ctx ends, what is left of branches that were not
// made to the end or not removed, and completes those that safekeepers miss:
// by an earlier run at first, then by this one.
func (m *branches) sweep(ctx context.Context) {
	for found := false; ; {
		if !found {
			found = m.noteUnfinished(ctx) == nil
		}
		for _, name := range m.remains() {
			m.sweepOne(ctx, name)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
	}
}

// noteUnfinished finds what an earlier run has left.
func (m *branches) noteUnfinished(ctx context.Context) error {
	all, err := branch.Entries(ctx, m.cluster.Env)
	if err != nil {
		return err
	}
	for _, n := range all {
		switch {
		case n.State == branch.Creating || n.State == branch.Deleting:
			m.leave(n.Name, fmt.Errorf("an earlier run ended while it was %s", n.State))
		case n.State == branch.Live && len(n.Missing) > 0:
			m.leave(n.Name, errIncomplete(n.Branch))
		}
	}
	return nil
}

// remains are the names for which something is left to do.
func (m *branches) remains() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.left))
}

// notes tell what is left to do for branches, and why it still is.
func (m *branches) notes() (all []string) {
	for _, name := range m.remains() {
		m.mu.Lock()
		why := m.left[name]
		m.mu.Unlock()
		all = append(all, fmt.Sprintf("branch %s: %v", name, why))
	}
	return all
}

// sweepOne does what is left to do for one branch. Whoever is at that name
// meanwhile does it himself.
func (m *branches) sweepOne(ctx context.Context, name string) {
	bounded, cancel := context.WithTimeout(ctx, erasePatience)
	defer cancel()
	err := m.finish(bounded, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		delete(m.left, name)
	case ctx.Err() == nil && !errors.Is(err, errBusy):
		m.left[name] = err
	}
}

// finish completes a branch that safekeepers miss, and takes away what there
// is of any other that is not whole.
func (m *branches) finish(ctx context.Context, name string) error {
	entry, err := branch.Find(ctx, m.cluster.Env, name)
	if err != nil || entry.State != branch.Live || len(entry.Missing) == 0 {
		if err == nil {
			err = m.eraseNamed(ctx, name)
		}
		return err
	}
	release, err := m.tryHold(name)
	if err != nil {
		return err
	}
	defer release()
	if err := m.cluster.CompleteWAL(ctx, entry.Branch); err != nil {
		return err
	}
	whole := entry.Branch
	whole.Missing = nil
	_, err = entry.Set(ctx, m.cluster.Env, whole)
	return err
}

// eraseNamed takes away what there is of a branch that is half made or half
// removed. One that is whole, or gone, stays so.
func (m *branches) eraseNamed(ctx context.Context, name string) error {
	release, err := m.tryHold(name)
	if err != nil {
		return err
	}
	defer release()
	entry, err := branch.Find(ctx, m.cluster.Env, name)
	if err != nil || entry.State == branch.Live || entry.State == branch.Deleted {
		return err
	}
	_, err = m.erase(ctx, entry)
	return err
}

// errBusy reports a name at which somebody is.
var errBusy = errors.New("it is being made or deleted right now")
