// Package role runs one role of an installation from its configuration:
// safekeeper, pageserver or compute, each on a production environment of its
// own. `xenon run` runs one in a process, `xenon up` several in one.
//
// Start at [Safekeeper], [Pageserver] and [Compute].
package role

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"xenon/cmd/xenon/internal/remote"
	"xenon/consensus/safekeeper"
	"xenon/core/pageserver"
	"xenon/realio"
	"xenon/realio/warden"
)

// A Process is what the roles of one process share.
type Process struct {
	Log *slog.Logger
	// Loopback keeps their connections in memory; nil leaves them to sockets.
	Loopback *realio.Loopback
	// Spare is a warden that is ready for the next server, if one is kept.
	Spare *warden.Spare
}

// Safekeeper is the configuration of a safekeeper.
type Safekeeper struct {
	Dir string `toml:"dir" comment:"its directory"`
	// Remote is where WAL goes, and is read once it has left the directory. A
	// safekeeper without one keeps all of it.
	Remote remote.Config `toml:"remote_storage"`
	safekeeper.Config
}

// Run is a safekeeper until ctx ends.
func (c Safekeeper) Run(ctx context.Context, p Process) error {
	objects := &c.Remote
	if c.Remote == (remote.Config{}) {
		objects = nil
	}
	return p.run(ctx, fmt.Sprintf("safekeeper-%d", c.NodeID), c.Dir, objects, func(ctx context.Context, e *realio.Env) error {
		return safekeeper.Run(ctx, e, c.Config)
	})
}

// Pageserver is the configuration of a pageserver.
type Pageserver struct {
	Dir    string        `toml:"dir" comment:"its directory; it can be made anew from the object store and WAL"`
	Remote remote.Config `toml:"remote_storage"`
	pageserver.Config
}

// Run is a pageserver until ctx ends.
func (c Pageserver) Run(ctx context.Context, p Process) error {
	return p.run(ctx, fmt.Sprintf("pageserver-%d", c.ID), c.Dir, &c.Remote, func(ctx context.Context, e *realio.Env) error {
		return pageserver.Run(ctx, e, c.Config)
	})
}

// run runs f as a task of an environment rooted at dir, until it returns or
// ctx ends.
func (p Process) run(ctx context.Context, name, dir string, objects *remote.Config, f func(context.Context, *realio.Env) error) error {
	if dir == "" {
		return fmt.Errorf("%s: dir: want its directory", name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	o := realio.Options{Root: dir, Log: p.Log.With("role", name), Loopback: p.Loopback}
	if objects != nil {
		s, err := objects.Open(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer s.Close()
		// One that does not answer now is waited for, by whoever needs it.
		if err := objects.Verify(ctx, s, 0); remote.Unreachable(err) {
			o.Log.Warn("starts without the object store", "error", err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		o.Objects = s
	}
	e := realio.New(o)
	defer e.Close()
	ended := make(chan error, 1)
	e.Go(name, func(tctx context.Context) { ended <- f(tctx, e) })
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		e.Close()
		<-ended
		return nil
	}
}
