package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core/wire"
	"xenon/realio"
)

// StartOptions choose what is started.
type StartOptions struct {
	Scales []int // of pgbench: 15 MB each
	Rounds int
	// Processes is whether every role has a process of its own, the new
	// endpoint too.
	Processes bool
}

// A StartRow is starts on a database of one size. Times are medians in ms,
// ratios of neighbours.
type StartRow struct {
	Scale     int     `json:"scale"`
	Value     float64 `json:"value"`
	PeerValue float64 `json:"peer_value"`
	Ratio     float64 `json:"ratio"`
	// Branch and Ready are parts of Value: until the branch is there, and from
	// then until its server takes connections.
	Branch float64 `json:"branch_ms"`
	Ready  float64 `json:"ready_ms"`
}

// A StartReport is what `xenon bench start --json` prints: milliseconds from
// the request for a new branch to the first row of a table on it, against
// those from pg_ctl start on a copy of the data directory to the same row. Its
// top level is the worst ratio.
type StartReport struct {
	Metric    string     `json:"metric"`
	Value     float64    `json:"value"`
	Unit      string     `json:"unit"`
	PeerValue float64    `json:"peer_value"`
	Ratio     float64    `json:"ratio"`
	Rows      []StartRow `json:"rows"`
}

// firstQuery is what is answered first: a row by an index.
const firstQuery = "SELECT abalance FROM pgbench_accounts WHERE aid = 1"

// Start measures how soon a new branch answers.
func Start(ctx context.Context, s Site, o StartOptions) (StartReport, error) {
	report := StartReport{Metric: "branch_to_first_row", Unit: "ms"}
	var args []string
	if o.Processes {
		args = append(args, "--processes")
	}
	in, err := s.Up(filepath.Join(s.Scratch, "x"), args...)
	if err != nil {
		return report, err
	}
	defer in.Stop()
	for i, scale := range o.Scales {
		d := &database{site: s, in: in, name: fmt.Sprintf("s%d", scale), scale: scale,
			plain: plain{s.Dist, s.User, filepath.Join(s.Peer, fmt.Sprintf("data%d", scale)), s.Port + 30 + i}}
		row, err := d.startRow(ctx, o.Rounds)
		if err != nil {
			return report, err
		}
		s.Say("scale %4d: %5.0f ms to the first row (%.0f branch, %.0f start); plain %5.0f ms, ratio %.2f", scale, row.Value, row.Branch, row.Ready, row.PeerValue, row.Ratio)
		report.Rows = append(report.Rows, row)
	}
	worst := slices.MaxFunc(report.Rows, func(a, b StartRow) int { return int(1e6*a.Ratio) - int(1e6*b.Ratio) })
	report.Value, report.PeerValue, report.Ratio = worst.Value, worst.PeerValue, worst.Ratio
	return report, nil
}

func (d *database) startRow(ctx context.Context, rounds int) (row StartRow, err error) {
	if err := d.make(ctx); err != nil {
		return row, err
	}
	if _, err := d.copy(ctx, false); err != nil {
		return row, err
	}
	env := realio.New(realio.Options{})
	defer env.Close()
	var ours, theirs, branch, ready []float64
	for i := range rounds {
		a, err := d.startBranch(ctx, env, fmt.Sprintf("%s-b%d", d.name, i))
		if err != nil {
			return row, err
		}
		b, err := d.startPlain(ctx, env)
		if err != nil {
			return row, err
		}
		ours, theirs = append(ours, ms(a.row)), append(theirs, ms(b))
		branch, ready = append(branch, ms(a.branch)), append(ready, ms(a.ready-a.branch))
	}
	return StartRow{Scale: d.scale, Value: median(ours), PeerValue: median(theirs), Ratio: median(ratios(ours, theirs)),
		Branch: median(branch), Ready: median(ready)}, nil
}

// A started is when, from the request on, a branch was there, its server took
// connections, and the row came.
type started struct{ branch, ready, row time.Duration }

// startBranch makes a branch, asks it, and stops it again.
func (d *database) startBranch(ctx context.Context, env *realio.Env, name string) (s started, err error) {
	begin := time.Now()
	if err := d.create(ctx, name); err != nil {
		return s, err
	}
	s.branch = time.Since(begin)
	var e ctl.Endpoint
	if err := ctl.Call(ctx, d.in.Dir, "POST", "/endpoint/start", map[string]string{"branch": name}, &e); err != nil {
		return s, err
	}
	s.ready = time.Since(begin)
	c, err := connect(ctx, env, e)
	if err != nil {
		return s, err
	}
	defer c.Close()
	if err := firstRow(c); err != nil {
		return s, err
	}
	s.row = time.Since(begin)
	return s, d.in.Run(ctx, "endpoint", "stop", name)
}

// startPlain starts the copy, asks it, and stops it again.
func (d *database) startPlain(ctx context.Context, env *realio.Env) (took time.Duration, err error) {
	p := d.plain
	p.data = d.copied()
	begin := time.Now()
	defer func() { err = errors.Join(err, p.stop("fast")) }()
	// Its own waiting looks ten times a second.
	if err := p.ctl(ctx, "start", "-W", "-l", p.log()); err != nil {
		return 0, err
	}
	err = await(ctx, "plain PostgreSQL", 2*time.Millisecond, func() (bool, error) {
		c, err := wire.Connect(ctx, env, fmt.Sprintf("127.0.0.1:%d", p.port), wire.ClientConfig{User: "postgres", Database: "postgres", Timeout: time.Minute})
		if err != nil {
			return false, nil // it does not listen yet, or not to us
		}
		defer c.Close()
		return true, firstRow(c)
	})
	return time.Since(begin), err
}

func firstRow(c *wire.Client) error {
	r, err := c.Query(firstQuery)
	if err == nil && len(r.Rows) != 1 {
		err = fmt.Errorf("%s: %d rows", firstQuery, len(r.Rows))
	}
	return err
}
