package up

import (
	"context"
	"fmt"
	"strings"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/compute"
	"xenon/core"
)

// usePatience is how long a question for the newest LSN of a branch waits for
// an endpoint that is starting: what it acknowledged before is only certain
// again once a majority has elected it.
const usePatience = 30 * time.Second

// newestHere is the commit LSN of a branch that its endpoint in this
// installation knows, 0 if none does.
func (in *installation) newestHere(ctx context.Context, b branch.Branch) (core.LSN, error) {
	e := in.writerOf(b.Name)
	if e == nil {
		return 0, nil
	}
	bounded, cancel := context.WithTimeout(ctx, usePatience)
	defer cancel()
	if e.awaitReady(bounded) != nil {
		return 0, context.Cause(ctx)
	}
	return e.describe(ctx).CommitLSN, nil
}

// useBranch makes sure that a branch has an endpoint that clients can connect
// to, and returns it.
func (in *installation) useBranch(ctx context.Context, r startRequest) (used ctl.EndpointUse, err error) {
	e := in.writerOf(r.Branch)
	if e == nil {
		if e, err = in.startEndpoint(ctx, startRequest{Branch: r.Branch}); err != nil {
			// Somebody else may have been first.
			if e = in.writerOf(r.Branch); e == nil {
				return used, err
			}
		} else {
			used.Started = true
		}
	}
	if err := e.awaitReady(ctx); err != nil {
		return used, err
	}
	used.Endpoint = e.describe(ctx)
	return used, nil
}

// writerOf is the running endpoint that writes to a branch, nil if there is
// none. While one takes over from another it is the later one.
func (in *installation) writerOf(branch string) (writer *endpoint) {
	for _, e := range in.listEndpoints() {
		if e.running() && !e.readOnly() && e.branch.Name == branch && (writer == nil || e.began.After(writer.began)) {
			writer = e
		}
	}
	return writer
}

// whileUnused runs f while no endpoint can start, unless one uses the branch.
func (in *installation) whileUnused(ctx context.Context, b branch.Branch, f func() error) error {
	in.starting.Lock()
	defer in.starting.Unlock()
	for _, e := range in.listEndpoints() {
		if e.running() && e.branch.Timeline == b.Timeline {
			return fmt.Errorf("endpoint %s runs on branch %s: stop it first with xenon endpoint stop %s", e.name, b.Name, e.name)
		}
	}
	held, err := compute.Holder(ctx, in.env, b.RegisterName())
	if err != nil {
		return err
	}
	if held.Owner != "" && !strings.HasPrefix(held.Owner, in.owner("")) {
		return fmt.Errorf("endpoint %s of another installation runs branch %s: stop it first, or take it over with xenon endpoint start %s --takeover and stop that", held.Owner, b.Name, b.Name)
	}
	if err := f(); err != nil {
		return err
	}
	for _, e := range in.listEndpoints() {
		if e.branch.Timeline == b.Timeline {
			in.forget(e.name)
			in.drop(e)
		}
	}
	return nil
}

// drop takes an endpoint that has ended out of what status tells.
func (in *installation) drop(e *endpoint) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.endpoints[e.name] == e {
		delete(in.endpoints, e.name)
	}
}
