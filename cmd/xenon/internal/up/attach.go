package up

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/compute"
	"xenon/core"
)

// attachMain makes the pageserver serve main, which no installation is without.
// The others may take a while: a pageserver that lost its directory has to take
// in what they began from first.
func (in *installation) attachMain(ctx context.Context) error {
	main, err := branch.Load(ctx, in.env, branch.Main)
	if err != nil {
		return err
	}
	return in.cluster().Attach(ctx, main)
}

// attachLanes is how many branches are attached at once.
const attachLanes = 8

// attachAll makes the pageserver serve every branch that it can, and tells
// whether that was all of them.
func (in *installation) attachAll(ctx context.Context) bool {
	all, err := in.objs.list(ctx, in.env)
	if err != nil {
		in.opts.Log.Warn("branches are not served yet", "error", err)
		return false
	}
	lanes := make(chan struct{}, attachLanes)
	var failed atomic.Bool
	var attaching sync.WaitGroup
	for _, b := range ancestorsFirst(all) {
		lanes <- struct{}{}
		attaching.Go(func() {
			defer func() { <-lanes }()
			if err := in.cluster().Attach(ctx, b); err != nil && ctx.Err() == nil {
				in.opts.Log.Warn("a branch is not served yet", "branch", b.Name, "error", err)
				failed.Store(true)
			}
		})
	}
	attaching.Wait()
	return !failed.Load()
}

// ancestorsFirst sorts branches so that each comes after the one it began
// from: the pageserver reads it by way of that one.
func ancestorsFirst(all []branch.Branch) []branch.Branch {
	parent := map[core.TimelineID]core.TimelineID{}
	for _, b := range all {
		parent[b.Timeline] = b.Ancestor
	}
	depth := func(b branch.Branch) (n int) {
		for at := b.Ancestor; at != (core.TimelineID{}) && n <= len(all); at = parent[at] {
			n++
		}
		return n
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b branch.Branch) int { return depth(a) - depth(b) })
	return sorted
}

// attachAgain is attachAll for a pageserver that was started anew: with its
// directory it may have lost what it knew. It tries until all are attached, or
// ctx ends.
func (in *installation) attachAgain(ctx context.Context) {
	for failures := 1; ; failures++ {
		if in.attachAll(ctx) || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(compute.Backoff(failures), attachAtMost)):
		}
	}
}

// attachAtMost bounds how long a pageserver that is back lacks a branch.
const attachAtMost = 5 * time.Second
