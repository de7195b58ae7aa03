package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// demoCommand is what ./demo runs once everything is installed.
type demoCommand struct{ upFlags }

func (c demoCommand) Run(g *Globals) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runUp(g, c.upFlags, func(dir, url string) error {
		fmt.Fprintf(g.Stdout, "\nready %s\n", url)
		d := demo{g: g, exe: exe, dir: dir}
		err := d.show(ctx)
		if ctx.Err() != nil {
			return nil // it is being stopped, and what ran with it ended
		}
		if err == nil {
			fmt.Fprintf(g.Stdout, "\nIt runs until Ctrl-C. In another terminal:\n  bin/xenon psql main --dir %s\n", dir)
		}
		return err
	})
}

// A demo shows commands and what they print.
type demo struct {
	g   *Globals
	exe string
	dir string
}

// xenon shows one command.
func (d demo) xenon(args ...string) error {
	var shown strings.Builder
	for _, a := range args {
		if strings.ContainsAny(a, " '") {
			a = fmt.Sprintf("%q", a)
		}
		shown.WriteString(" " + a)
	}
	fmt.Fprintf(d.g.Stdout, "\n$ xenon%s\n", shown.String())
	cmd := d.command(args...)
	cmd.Stdout, cmd.Stderr = d.g.Stdout, d.g.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("xenon%s: %w", shown.String(), err)
	}
	return nil
}

func (d demo) command(args ...string) *exec.Cmd {
	return exec.Command(d.exe, append(slices.Clone(args), "--dir", d.dir)...)
}

// sql shows a statement on a branch.
func (d demo) sql(branch, statement string) error {
	return d.xenon("psql", branch, "-c", statement)
}

// answer is what a statement gives, not shown.
func (d demo) answer(statement string) (string, error) {
	out, err := d.command("psql", "main", "-c", "\\pset format unaligned", "-c", "\\pset tuples_only on", "-c", statement).Output()
	if err != nil {
		return "", fmt.Errorf("psql %s: %w", statement, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// savedBranch is the branch that the demo makes.
const savedBranch = "before-drop"

// show is a table that is dropped by mistake, and found again.
func (d demo) show(ctx context.Context) error {
	if err := d.tidy(); err != nil {
		return err
	}
	for _, statement := range []string{
		"SELECT version()",
		"CREATE TABLE visits (at timestamptz DEFAULT now(), who text)",
		"INSERT INTO visits (who) SELECT 'guest ' || n FROM generate_series(1, 1000) n",
	} {
		if err := d.sql("main", statement); err != nil {
			return err
		}
	}
	written := time.Now()
	lsn, err := d.answer("SELECT pg_current_wal_lsn()")
	if err != nil {
		return err
	}
	// The times of commits are kept to the second.
	if err := sleep(ctx, commitGap); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return d.sql("main", "DROP TABLE visits") },
		func() error { return d.xenon("branch", "create", savedBranch, "--from", "main", "--at", lsn) },
		func() error {
			return d.sql(savedBranch, "SELECT count(*) AS visits, pg_size_pretty(pg_relation_size('visits')) AS size FROM visits")
		},
		func() error { return d.sql("main", "SELECT to_regclass('visits') AS visits_on_main") },
		func() error { return d.xenon("status") },
		func() error { return d.lookBack(ctx, written) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

const (
	commitGap = 4 * time.Second
	ago       = 30 * time.Second
)

// lookBack opens main as of 30 seconds ago, when the table was written and not
// dropped yet.
func (d demo) lookBack(ctx context.Context, written time.Time) error {
	wait := time.Until(written.Add(ago + commitGap/2))
	fmt.Fprintf(d.g.Stdout, "\n… main is 30 s old in %.0f s\n", max(0, wait.Seconds()))
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	return d.sql("main@-30s", "SELECT count(*) AS visits_30_seconds_ago FROM visits")
}

// tidy removes what an earlier demo in the same directory has left.
func (d demo) tidy() error {
	if _, err := d.answer("DROP TABLE IF EXISTS visits"); err != nil {
		return err
	}
	g := *d.g
	g.DirFlag = d.dir
	s, err := askStatus(&g)
	if err != nil {
		return err
	}
	if _, err := findBranch(s, savedBranch); err != nil {
		return nil
	}
	if out, err := d.command("branch", "delete", savedBranch).CombinedOutput(); err != nil {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return nil
}

// sleep waits for a while, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
