package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"xenon/cmd/xenon/internal/ctl"
)

// BranchOptions choose what is branched.
type BranchOptions struct {
	Scales []int // of pgbench: 15 MB each
	Rounds int
}

// A BranchRow is branches of a database of one size. Times are medians.
type BranchRow struct {
	Scale     int     `json:"scale"`
	Bytes     int64   `json:"bytes"` // of the data directory
	Value     float64 `json:"value"` // ms
	PeerValue float64 `json:"peer_value"`
	Ratio     float64 `json:"ratio"`
	Worst     float64 `json:"worst"` // ms
}

// A BranchReport is what `xenon bench branch --json` prints: milliseconds from
// the request to the answer that the branch is there, against cp -r of the data
// directory. Its top level is the largest size.
type BranchReport struct {
	Metric    string      `json:"metric"`
	Value     float64     `json:"value"`
	Unit      string      `json:"unit"`
	PeerValue float64     `json:"peer_value"`
	Ratio     float64     `json:"ratio"`
	Rows      []BranchRow `json:"rows"`
}

// Branch measures how long it takes to make a branch.
func Branch(ctx context.Context, s Site, o BranchOptions) (BranchReport, error) {
	report := BranchReport{Metric: "branch_create", Unit: "ms"}
	slices.Sort(o.Scales)
	in, err := s.Up(filepath.Join(s.Scratch, "x"), "--processes")
	if err != nil {
		return report, err
	}
	defer in.Stop()
	for i, scale := range o.Scales {
		d := &database{site: s, in: in, name: fmt.Sprintf("s%d", scale), scale: scale,
			plain: plain{s.Dist, s.User, filepath.Join(s.Peer, fmt.Sprintf("data%d", scale)), s.Port + 30 + i}}
		row, err := d.branchRow(ctx, o.Rounds)
		if err != nil {
			return report, err
		}
		s.Say("%6d MB: %5.1f ms a branch, at worst %5.1f; cp -r %7.0f ms, ratio %.4f", row.Bytes/1e6, row.Value, row.Worst, row.PeerValue, row.Ratio)
		report.Rows = append(report.Rows, row)
		report.Value, report.PeerValue, report.Ratio = row.Value, row.PeerValue, row.Ratio
	}
	return report, nil
}

// A database is one that pgbench has filled, as a data directory and as a
// branch that was imported from it and runs.
type database struct {
	site  Site
	in    *Installation
	name  string
	scale int
	plain plain
}

func (d *database) branchRow(ctx context.Context, rounds int) (row BranchRow, err error) {
	if err := d.make(ctx); err != nil {
		return row, err
	}
	if err := d.in.Run(ctx, "endpoint", "start", d.name); err != nil {
		return row, err
	}
	row.Scale = d.scale
	if row.Bytes, err = dirBytes(d.plain.data); err != nil {
		return row, err
	}
	var ours, theirs []float64
	for i := range rounds {
		begin := time.Now()
		if err := d.create(ctx, fmt.Sprintf("%s-b%d", d.name, i)); err != nil {
			return row, err
		}
		ours = append(ours, ms(time.Since(begin)))
		// A copy is so much longer that a few will do.
		if i%4 == 0 {
			took, err := d.copy(ctx, true)
			if err != nil {
				return row, err
			}
			theirs = append(theirs, ms(took))
		}
	}
	row.Value, row.PeerValue, row.Worst = median(ours), median(theirs), slices.Max(ours)
	row.Ratio = row.Value / row.PeerValue
	return row, d.in.Run(ctx, "endpoint", "stop", d.name)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// make fills a data directory and imports it.
func (d *database) make(ctx context.Context) error {
	d.site.Say("pgbench of scale %d", d.scale)
	p := &d.plain
	if err := p.create(ctx); err != nil {
		return err
	}
	if err := p.appendConf("fsync = off\nmin_wal_size = '32MB'\nmax_wal_size = '64MB'\n"); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if _, err := client(ctx, p.dist, p.user, "pgbench", "-i", "-q", "-s", strconv.Itoa(d.scale), p.url()); err != nil {
		return err
	}
	if err := p.stop("fast"); err != nil {
		return err
	}
	// What is not on the disk yet is written at the cost of whoever syncs next.
	unix.Sync()
	return d.in.Run(ctx, "import", p.data, d.name)
}

// create makes a branch of the database.
func (d *database) create(ctx context.Context, name string) error {
	return ctl.Call(ctx, d.in.Dir, "POST", "/branch/create", ctl.BranchRequest{Name: name, From: d.name}, nil)
}

// copied is where copy copies to.
func (d *database) copied() string { return d.plain.data + ".copy" }

// copy copies the data directory as cp -r does; remove takes the copy away.
func (d *database) copy(ctx context.Context, remove bool) (time.Duration, error) {
	begin := time.Now()
	if out, err := d.site.command(ctx, "cp", "-r", d.plain.data, d.copied()).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cp: %w: %s", err, out)
	}
	took := time.Since(begin)
	if remove {
		return took, os.RemoveAll(d.copied())
	}
	return took, nil
}
