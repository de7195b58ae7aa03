// Package export writes a timeline as of an LSN into a plain data directory,
// which stock PostgreSQL starts as one that was shut down cleanly.
//
// It is the directory that a compute of ours boots from, copied: the same
// files, the same shutdown checkpoint at the LSN, the same first WAL. Pages
// come from the page service, many at a time, so no server has to run. Memory
// is bounded by the pages that are under way.
//
// The control file is written last, after everything else is durable. Until
// then the directory holds a file, [Unfinished], that says what it is, and no
// server starts from it.
//
// Start at [Run].
package export

import (
	"context"
	"fmt"
	"time"

	"xenon/compute/boot"
	"xenon/compute/pageclient"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
	"xenon/core/xsync"
)

// Unfinished is the name of the file that says that an export did not end.
const Unfinished = "EXPORT_UNFINISHED"

// workers copy at a time, each with a connection of its own: a pageserver
// answers one connection in order.
const workers = 4

// Options say what goes where.
type Options struct {
	Source string // what people call it, as in main@0/1A2B3C8
	// Pageserver is the address of the one that has TTID, and LSN a place where
	// a record may begin (wal.Format.RoundUp).
	Pageserver string
	TTID       core.TTID
	LSN        core.LSN
	// Conf are the settings files: postgresql.conf, pg_hba.conf,
	// postgresql.auto.conf. What is missing gets a default; what recovery needs
	// more of than they set is added.
	Conf []bootset.File
	// Wait is how long the pageserver may take to have LSN.
	Wait time.Duration

	Dir string // where to; missing or empty
	// Owner is whose the files are; nil leaves them the caller's.
	Owner *Owner
	// Progress is told, by one task at a time, how many of all bytes are
	// written.
	Progress func(done, total int64)
}

// An Owner is a user and a group.
type Owner struct{ UID, GID int }

// A Result is what was written.
type Result struct {
	LSN   core.LSN `json:"lsn"`
	Dir   string   `json:"dir"`
	Files int      `json:"files"`
	Bytes int64    `json:"bytes"`
}

// Run exports. What is refused leaves nothing behind; what fails after the
// first file is written leaves a directory with [Unfinished] in it.
func Run(ctx context.Context, e env.Env, o Options) (*Result, error) {
	if err := vet(o.Dir, 0); err != nil {
		return nil, err
	}
	plan, err := plan(ctx, e, o)
	if err != nil {
		return nil, err
	}
	client := pageclient.New(ctx, e, pageclient.Config{Addr: o.Pageserver, TTID: o.TTID, Boot: o.LSN, Connections: workers})
	defer client.Close()
	all, err := list(ctx, plan, client)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", o.Source, err)
	}
	if err := vet(o.Dir, all.bytes); err != nil {
		return nil, err
	}
	d, err := create(o)
	if err == nil {
		err = copyAll(ctx, e, d, all, client, o.Progress)
	}
	if err == nil {
		err = d.finish(all.control)
	}
	if err != nil {
		return nil, fmt.Errorf("export %s to %s: %w", o.Source, o.Dir, err)
	}
	return &Result{LSN: o.LSN, Dir: o.Dir, Files: d.files, Bytes: all.bytes}, nil
}

// plan asks for what a server would boot with.
func plan(ctx context.Context, e env.Env, o Options) (*boot.Plan, error) {
	wait, cancel := xsync.WithTimeout(ctx, e, o.Wait)
	defer cancel()
	set, err := pageclient.FetchBoot(wait, e, o.Pageserver, o.TTID, o.LSN, nil)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", o.Source, err)
	}
	ctl, err := wal.DecodeControl(set.Control)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", o.Source, err)
	}
	return boot.New(set, set.Prev, e.Clock().Now(), carry(o.Conf, ctl.Settings))
}
