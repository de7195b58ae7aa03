package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"xenon/cmd/xenon/internal/pgdist"
)

// demoCommand is what ./demo runs once everything is installed.
type demoCommand struct{ upFlags }

func (c demoCommand) Run(g *Globals) error {
	dist, err := pgdist.Find(c.PgBin)
	if err != nil {
		return err
	}
	psql, err := dist.Path("psql")
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return runUp(g, c.upFlags, func(dir, url string) error {
		fmt.Fprintf(g.Stdout, "\nready %s\n", url)
		if err := c.show(g, psql, url); err != nil {
			return err
		}
		status := exec.Command(exe, "status", "--dir", dir)
		status.Stdout, status.Stderr = g.Stdout, g.Stderr
		fmt.Fprintf(g.Stdout, "\n$ xenon status --dir %s\n", dir)
		if err := status.Run(); err != nil {
			return err
		}
		fmt.Fprintf(g.Stdout, "\nIt runs until Ctrl-C. In another terminal:\n  bin/xenon psql main --dir %s\n", dir)
		return nil
	})
}

// show runs statements with psql and shows them with their answers.
func (c demoCommand) show(g *Globals, psql, url string) error {
	for _, sql := range []string{
		"CREATE TABLE IF NOT EXISTS visits (at timestamptz DEFAULT now(), who text)",
		"INSERT INTO visits (who) SELECT 'guest ' || n FROM generate_series(1, 1000) n",
		"SELECT count(*) AS visits, pg_size_pretty(pg_relation_size('visits')) AS size FROM visits",
		"SELECT version()",
	} {
		fmt.Fprintf(g.Stdout, "\n$ xenon psql main -c %q\n", sql)
		cmd := exec.Command(psql, "-X", "-c", sql, url)
		cmd.Stdout, cmd.Stderr = g.Stdout, g.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("psql %s: %w", strings.TrimSpace(sql), err)
		}
	}
	return nil
}
