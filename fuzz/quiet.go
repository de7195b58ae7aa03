package fuzz

import (
	"context"
	"fmt"
	"time"

	"xenon/core/env"
)

// Bounds of an installation at rest: healed, level, and with servers whose
// clients have gone. They are a few times what runs show, which is that of a
// poll a second by everybody of everybody.
const (
	restFor  = 5 * time.Second
	maxSteps = 4000 // a second, and for each process
	maxTasks = 400  // of a process
	maxConns = 300  // ends of connections, for each process
)

// quiet lets the installation rest, and checks that it does: nobody runs in
// circles, and nothing piles up.
func (r *run) quiet(ctx context.Context, e env.Env) error {
	r.stage = "watching it rest"
	steps := r.w.Steps()
	if err := e.Clock().Sleep(ctx, restFor); err != nil {
		return err
	}
	procs := len(r.c.nodes())
	if n := r.w.Steps() - steps; n > uint64(maxSteps*procs)*uint64(restFor/time.Second) {
		return &Violation{Quiet, fmt.Errorf("%d processes at rest took %d steps in %s: somebody runs in circles", procs, n, restFor)}
	}
	for _, x := range r.c.nodes() {
		if n := x.Tasks(); n > maxTasks {
			return &Violation{Quiet, fmt.Errorf("%s has %d tasks at rest", x.Name(), n)}
		}
	}
	if n := r.w.Conns(); n > maxConns*procs {
		return &Violation{Quiet, fmt.Errorf("%d ends of connections are left at rest", n)}
	}
	return nil
}
