// Package compute is the life of an endpoint: it takes the endpoint's
// register, wins a term, learns X, boots a stock PostgreSQL at X on two file
// trees, and starts it anew whenever it dies, until somebody else takes over.
//
// Start at [Endpoint].
package compute

import (
	"context"

	"xenon/compute/vfs"
)

// A Host carries servers: realio's with mounts and child processes, the
// simulator's with a stand-in that asks the same trees.
type Host interface {
	// Start mounts the trees of l at fresh places and starts a server on
	// them. It returns once the server was started, not once it answers.
	Start(ctx context.Context, l Launch) (Server, error)
}

// A Launch is what a server is started with.
type Launch struct {
	// Data is the data directory; its pg_wal is a symbolic link to ../wal,
	// where the host mounts WAL.
	Data, WAL vfs.Tree
	// Settings go on the server's command line, where nobody can change them.
	Settings []Setting
	// Bound is until when the server may answer, if reads are bound to a lease:
	// from its start on, and beyond only as [Server.Extend] says.
	Bound Bound
}

// A Setting is one configuration parameter.
type Setting struct{ Name, Value string }

// A Server is one run of PostgreSQL on its mounts.
type Server interface {
	// AwaitReady returns nil once the server takes connections, and an error
	// once it has ended.
	AwaitReady(ctx context.Context) error
	// Extend lets a server that was launched with a Bound go on, up to a later
	// one; it thaws a server that was frozen.
	Extend(b Bound)
	// Stop asks for a fast shutdown and returns at once.
	Stop()
	// AwaitExit returns how the server ended once it has.
	AwaitExit(ctx context.Context) (Exit, error)
	// End ends the server with every descendant, its mounts and its shared
	// memory, and returns when nothing is left of it. It is called for every
	// server that was started, also for one that ended by itself. The trees
	// answer EIO by then: a process that waits for them cannot die.
	End()
}

// An Exit tells how a server ended.
type Exit struct {
	Clean  bool // it shut down as it was asked to
	Reason string
}
