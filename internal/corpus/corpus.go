// Package corpus makes recorded clusters out of a throwaway stock PostgreSQL
// of any major: a data directory, the WAL of a workload with an image of every page after
// every change (wal_consistency_checking), and what PostgreSQL itself replays
// of the two. Package xenon/core/redo/verify is what reads them.
//
// A corpus is a directory:
//
//	initial/   data directory before the workload, cleanly shut down
//	wal/       every WAL segment since initdb, and histories of timelines
//	final/     data directory after the workload, cleanly shut down, without WAL
//	replayed/  initial/ brought by PostgreSQL's own recovery to the last record
//	server.log, replay.log
//
// Start at [Make]. WAL differs from run to run: assert on counts, not on bytes.
package corpus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"xenon/core"
	"xenon/core/wal"
)

// Options of [Make]; the zero value makes a small corpus of PostgreSQL 15.
type Options struct {
	Major int    // major version of PostgreSQL; default 15
	Bin   string // directory of the server's programs; default [Bin] of Major
	User  string // OS user of the server when we are root; default postgres
	// Template is a directory that [Init] made; without it Make runs initdb.
	Template string
	Rows     int // rows of the tables that a workload fills; default 300
	Txns     int // transactions of each of its clients; default 40
	// Checksums must be as the template was made. HintsLogged is wal_log_hints,
	// FullPageWrites leaves first touches after a checkpoint unverified.
	Checksums, HintsLogged, FullPageWrites bool
	Compression                            string // wal_compression; default off
	NoReplay                               bool   // leave replayed/ out
	// Aged lets the counters of the cluster begin near the ends of segments of
	// the transaction logs. It must be as the template was made.
	Aged bool
}

func (o *Options) defaults() {
	if o.Major == 0 {
		o.Major = 15
	}
	if o.Bin == "" {
		o.Bin = bin(o.Major)
	}
	if o.User == "" {
		o.User = "postgres"
	}
	if o.Rows == 0 {
		o.Rows = 300
	}
	if o.Txns == 0 {
		o.Txns = 40
	}
	if o.Compression == "" {
		o.Compression = "off"
	}
}

// Init runs initdb into dir, which must not exist, for [Options.Template].
func Init(ctx context.Context, dir string, o Options) error {
	o.defaults()
	s, err := newServer(dir, o)
	if err != nil {
		return err
	}
	args := []string{"-D", dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "--wal-segsize=4"}
	switch {
	case o.Checksums:
		args = append(args, "--data-checksums")
	case o.Major >= 18: // which has them unless told otherwise
		args = append(args, "--no-data-checksums")
	}
	if _, err = s.run(ctx, "initdb", args...); err != nil || !o.Aged {
		return err
	}
	if err := s.age(dir); err != nil {
		return err
	}
	return s.freeze(ctx, dir)
}

// Make runs workloads one after the other in one server and leaves their
// corpus in dir, which it makes. Names are joined by a plus: "heap+btree". If
// it is root, dir and the directories above must let the server's user in.
func Make(ctx context.Context, dir, names string, o Options) error {
	o.defaults()
	for name := range strings.SplitSeq(names, "+") {
		if _, ok := workloads[name]; !ok {
			return fmt.Errorf("workload %q: want some of %s", name, strings.Join(Workloads(), ", "))
		}
	}
	s, err := newServer(dir, o)
	if err != nil {
		return err
	}
	if err := s.mkdir(dir); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := s.prepare(ctx, data); err != nil {
		return err
	}
	defer os.RemoveAll(s.socket)
	if err := s.start(ctx, data); err != nil {
		return err
	}
	err = s.runWorkloads(ctx, data, names)
	if stop := s.stop(ctx, data, "fast"); err == nil {
		err = stop
	}
	if err != nil {
		return err
	}
	return s.collect(ctx, dir, data)
}

// runWorkloads gives each workload a schema of its own, so that their tables
// do not meet.
func (s *server) runWorkloads(ctx context.Context, data, names string) error {
	for name := range strings.SplitSeq(names, "+") {
		w := &session{ctx: ctx, s: s, data: data, major: s.opt.Major, rows: s.opt.Rows, txns: s.opt.Txns}
		s.searchPath = ""
		w.sql("postgres", "create schema w_"+name)
		s.searchPath = "w_" + name + ",public"
		err := w.err
		if err == nil {
			err = workloads[name](w)
		}
		if err != nil {
			return fmt.Errorf("workload %s on PostgreSQL %d: %w", name, s.opt.Major, err)
		}
	}
	return nil
}

// prepare makes the data directory and its copy initial/, which nobody changes.
func (s *server) prepare(ctx context.Context, data string) error {
	initial := filepath.Join(filepath.Dir(data), "initial")
	if s.opt.Template != "" {
		if err := s.copyTree(ctx, s.opt.Template, data); err != nil {
			return err
		}
		if err := s.linkTree(ctx, s.opt.Template, initial); err != nil {
			return err
		}
	} else {
		if err := Init(ctx, data, s.opt); err != nil {
			return err
		}
		if err := s.copyTree(ctx, data, initial); err != nil {
			return err
		}
	}
	return s.configure(data)
}

var segmentName = regexp.MustCompile(`^([0-9A-F]{24}|[0-9A-F]{8}\.history)$`)

// collect sorts what the server left into the corpus.
func (s *server) collect(ctx context.Context, dir, data string) error {
	if err := s.mkdir(filepath.Join(dir, "wal")); err != nil {
		return err
	}
	list, err := os.ReadDir(filepath.Join(data, "pg_wal"))
	if err != nil {
		return err
	}
	for _, e := range list {
		if segmentName.MatchString(e.Name()) {
			from, to := filepath.Join(data, "pg_wal", e.Name()), filepath.Join(dir, "wal", e.Name())
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
	}
	if err := os.Rename(data, filepath.Join(dir, "final")); err != nil {
		return err
	}
	if s.opt.NoReplay {
		return nil
	}
	return s.replay(ctx, dir)
}

// replay makes replayed/: PostgreSQL recovers initial/ up to the last record,
// the checkpoint of the shutdown, and stops there.
func (s *server) replay(ctx context.Context, dir string) error {
	last, err := lastCheckpoint(filepath.Join(dir, "final"))
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "replayed")
	if err := s.copyTree(ctx, filepath.Join(dir, "initial"), data); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "*"))
	if err != nil {
		return err
	}
	for i, from := range segments {
		to := filepath.Join(data, "pg_wal", filepath.Base(from))
		if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		// A copy of the last one, whose end recovery writes.
		put := s.linkTree
		if i == len(segments)-1 {
			put = s.copyTree
		}
		if err := put(ctx, from, to); err != nil {
			return err
		}
	}
	if err := s.configure(data); err != nil {
		return err
	}
	conf := fmt.Sprintf("hot_standby = off\nrestore_command = 'false'\nrecovery_target_lsn = '%s'\n"+
		"recovery_target_inclusive = on\nrecovery_target_action = 'shutdown'\n", last)
	if err := s.appendFile(filepath.Join(data, "postgresql.conf"), conf); err != nil {
		return err
	}
	if err := s.appendFile(filepath.Join(data, "recovery.signal"), ""); err != nil {
		return err
	}
	if err := s.recover(ctx, data, filepath.Join(dir, "replay.log")); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(data, "pg_wal"))
}

func lastCheckpoint(data string) (core.LSN, error) {
	b, err := os.ReadFile(filepath.Join(data, "global", "pg_control"))
	if err != nil {
		return 0, err
	}
	ctl, err := wal.DecodeControl(b)
	if err != nil {
		return 0, err
	}
	return ctl.CheckPointLSN, nil
}
