// Package crosscheck holds pages that a server writes to redo, in production.
//
// Every page that PostgreSQL writes to a relation's file is what redo must make
// of the log up to the page's LSN: the server computed it from the same
// records, with other code. So a part of them is kept beside the write and
// compared with what the pageserver makes of the same block as of that LSN,
// but for what a server changes without a record ([redo.DiffWritten]). A
// difference is a bug of redo, of ingest or of the layers, found by the users'
// own data before anybody depends on the wrong page; it is counted, and stored
// with all that is needed to understand it ([Report]).
//
// Nothing waits for it: a page that finds the queue full is not looked at, and
// counts as such.
//
// Not every page can be compared. Free space and visibility maps change
// without records, unlogged relations have none, a page with LSN 0 or 1 has
// not been logged yet (an index being built; GiST leaves its pages so for
// good), one with an LSN at or below the server's start has changed by hints
// alone since it was read, and what CREATE DATABASE copies file by file has the
// LSNs of another database. [Reason] lists them.
//
// Start at [Checker]; a [Sampler] is its part in the life of one server.
package crosscheck

import (
	"context"
	"math"
	"sync/atomic"

	"xenon/compute/pageclient"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
)

// DefaultRate is the part of the written pages that is looked at where nobody
// says otherwise.
const DefaultRate = 0.01

// Config says how much to look at.
type Config struct {
	// Rate is the part of the written pages that is looked at, 0 for none and 1
	// for all.
	Rate float64
	// Dir is the directory of the process's disk in which mismatches are stored.
	// It stays from start to start.
	Dir string
	// Managers is the redo of extensions, that of the pageserver; nil if there
	// are none.
	Managers *redo.Managers
	// Found, if not nil, is told of each mismatch. It must not wait.
	Found func(*Mismatch)
}

// Pages is the pageserver that rebuilds pages. A page client is one.
type Pages interface {
	// ReadVersions fills dst, whole pages, with blocks as of an LSN each.
	ReadVersions(ctx context.Context, vs []pageclient.Version, dst []byte) error
	// Chain is what a page is made of.
	Chain(ctx context.Context, v pageclient.Version) (*pagechain.Chain, error)
}

// A Checker is the cross-check of one endpoint. It counts over all servers
// that the endpoint starts.
type Checker struct {
	env   env.Env
	cfg   Config
	limit uint64 // pages are looked at whose hash is below

	checked, mismatched atomic.Uint64
	unstored            atomic.Uint64
	skipped             [reasons]atomic.Uint64
}

// New makes the cross-check of an endpoint.
func New(e env.Env, cfg Config) *Checker {
	return &Checker{env: e, cfg: cfg, limit: limitOf(cfg.Rate)}
}

// limitOf turns a rate into a limit of hashes.
func limitOf(rate float64) uint64 {
	switch {
	case rate >= 1:
		return math.MaxUint64
	case rate > 0:
		return uint64(rate * math.MaxUint64)
	}
	return 0 // also what is no number
}

// On tells whether any page is looked at.
func (c *Checker) On() bool { return c != nil && c.limit > 0 }

// A Reason is why a page was chosen and not compared.
type Reason uint8

// The reasons.
const (
	NotMain     Reason = iota // of a free space or visibility map, or an init fork
	Unlogged                  // of an unlogged relation
	NoLSN                     // LSN 0 or 1: new, or its record is yet to come
	Unchanged                 // no record has changed it since the server started
	Copied                    // copied with its database, without records of its own
	Uncommitted               // its WAL was not committed within 10 seconds
	Behind                    // the queue was full
	Unanswered                // the pageserver does not tell
	Ended                     // the server ended first
	reasons
)

var reasonNames = [reasons]string{
	NotMain: "not_main_fork", Unlogged: "unlogged", NoLSN: "no_lsn", Unchanged: "unchanged", Copied: "copied",
	Uncommitted: "uncommitted", Behind: "behind", Unanswered: "unanswered", Ended: "ended",
}

// String is the reason's name in a status.
func (r Reason) String() string { return reasonNames[r] }

func (c *Checker) skip(r Reason) { c.skipped[r].Add(1) }

// A Status counts pages since the endpoint's process started.
type Status struct {
	Rate       float64
	Checked    uint64 // compared
	Mismatched uint64 // of them
	Unstored   uint64 // of the mismatched: there are enough reports
	// Skipped counts pages that were chosen and not compared, by the names of
	// reasons. Those that never occurred are not in it.
	Skipped map[string]uint64
	Dir     string // of reports, "" if nothing is looked at
}

// Status tells what has been found so far.
func (c *Checker) Status() Status {
	if !c.On() {
		return Status{}
	}
	s := Status{
		Rate: c.cfg.Rate, Checked: c.checked.Load(), Mismatched: c.mismatched.Load(), Unstored: c.unstored.Load(),
		Skipped: map[string]uint64{}, Dir: c.cfg.Dir,
	}
	for r := range c.skipped {
		if n := c.skipped[r].Load(); n > 0 {
			s.Skipped[Reason(r).String()] = n
		}
	}
	return s
}

// hash spreads what identifies a version of a page over 64 bits: the choice
// depends on nothing else, so that a run can be repeated. The constants are
// those of splitmix64.
func hash(file uint64, block int64, lsn core.LSN) uint64 {
	x := file*0x9E3779B97F4A7C15 ^ uint64(block)*0xBF58476D1CE4E5B9 ^ uint64(lsn)
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
