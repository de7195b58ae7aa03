// Package bench measures xenon beside a peer on the same machine in the same
// run: machines are noisy, ratios are not. Both sides take slices in turn, so
// that what disturbs one disturbs the other.
//
// Start at [Commit].
package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"xenon/cmd/xenon/internal/pgdist"
)

// A Target is a running xenon with a counter of its safekeepers' flushes.
type Target struct {
	URL string // with the password
	// Fsyncs tells how many times each safekeeper has synced WAL so far.
	Fsyncs func(ctx context.Context) ([]uint64, error)
}

// CommitOptions choose how long and how hard to measure.
type CommitOptions struct {
	Dist    pgdist.Dist
	User    pgdist.User
	Scratch string // directory for the peer; the caller removes it
	Port    int    // of the peer
	Clients []int
	Rounds  int           // slices of each side for each number of clients
	Slice   time.Duration // of whole seconds
	Say     func(format string, args ...any)
}

// A Row is the result for one number of clients. Rates are medians of the
// slices, the ratio is the median of the ratios of neighbouring slices.
type Row struct {
	Clients         int     `json:"clients"`
	Value           float64 `json:"value"`
	PeerValue       float64 `json:"peer_value"`
	Ratio           float64 `json:"ratio"`
	FsyncsPerCommit float64 `json:"fsyncs_per_commit"`
}

// A Report is what `xenon bench commit --json` prints. Its top level is the
// row with the smallest ratio.
type Report struct {
	Metric    string  `json:"metric"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	PeerValue float64 `json:"peer_value"`
	Ratio     float64 `json:"ratio"`
	Rows      []Row   `json:"rows"`
}

// script is one transaction: a row into a table without an index, so that
// what is measured is the commit.
const script = `\set n random(1, 2000000000)
INSERT INTO commits VALUES (:client_id, :n);
`

// Commit measures commits/s of t and of stock PostgreSQL with a synchronous
// quorum.
func Commit(ctx context.Context, t Target, o CommitOptions) (Report, error) {
	p, err := startPeer(ctx, o.Dist, o.User, o.Scratch, o.Port)
	if err != nil {
		return Report{}, err
	}
	defer p.stop()
	b := &commitBench{opts: o, target: t, peer: p, script: filepath.Join(o.Scratch, "commit.sql")}
	if err := os.WriteFile(b.script, []byte(script), 0o644); err != nil {
		return Report{}, err
	}
	for _, url := range []string{t.URL, p.url()} {
		if _, err := psql(ctx, o.Dist, o.User, url, "CREATE TABLE commits (client int, n int)"); err != nil {
			return Report{}, err
		}
	}
	report := Report{Metric: "commits", Unit: "1/s"}
	for _, clients := range o.Clients {
		row, err := b.row(ctx, clients)
		if err != nil {
			return Report{}, err
		}
		o.Say("%3d clients: %8.0f commits/s, peer %8.0f, ratio %.2f, %.2f fsyncs per commit and safekeeper",
			row.Clients, row.Value, row.PeerValue, row.Ratio, row.FsyncsPerCommit)
		report.Rows = append(report.Rows, row)
	}
	worst := slices.MinFunc(report.Rows, func(a, b Row) int { return int(1e6*a.Ratio) - int(1e6*b.Ratio) })
	report.Value, report.PeerValue, report.Ratio = worst.Value, worst.PeerValue, worst.Ratio
	return report, nil
}

type commitBench struct {
	opts   CommitOptions
	target Target
	peer   *peer
	script string
}

func (b *commitBench) row(ctx context.Context, clients int) (Row, error) {
	var ours, theirs, ratios, fsyncs []float64
	for range b.opts.Rounds {
		before, err := b.target.Fsyncs(ctx)
		if err != nil {
			return Row{}, err
		}
		a, commits, err := b.slice(ctx, b.target.URL, clients)
		if err != nil {
			return Row{}, err
		}
		after, err := b.target.Fsyncs(ctx)
		if err != nil {
			return Row{}, err
		}
		c, _, err := b.slice(ctx, b.peer.url(), clients)
		if err != nil {
			return Row{}, err
		}
		ours, theirs, ratios = append(ours, a), append(theirs, c), append(ratios, a/c)
		fsyncs = append(fsyncs, perCommit(before, after, commits))
	}
	return Row{
		Clients: clients, Value: median(ours), PeerValue: median(theirs),
		Ratio: median(ratios), FsyncsPerCommit: median(fsyncs),
	}, nil
}

// perCommit is the mean over the safekeepers that answered both times.
func perCommit(before, after []uint64, commits float64) float64 {
	n := min(len(before), len(after))
	if n == 0 || commits == 0 {
		return 0
	}
	var sum uint64
	for i := range n {
		sum += after[i] - before[i]
	}
	return float64(sum) / float64(n) / commits
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

var (
	tpsLine  = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	doneLine = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
	failLine = regexp.MustCompile(`(?m)^number of failed transactions: ([0-9]+)`)
)

// slice runs pgbench for one slice and returns commits per second and the
// number of commits.
func (b *commitBench) slice(ctx context.Context, url string, clients int) (tps, commits float64, err error) {
	seconds := max(1, int(b.opts.Slice/time.Second))
	out, err := client(ctx, b.opts.Dist, b.opts.User, "pgbench", "-n", "-f", b.script, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)),
		"-T", strconv.Itoa(seconds), url)
	if err != nil {
		return 0, 0, err
	}
	if m := failLine.FindStringSubmatch(out); m != nil && m[1] != "0" {
		return 0, 0, fmt.Errorf("pgbench: %s transactions failed:\n%s", m[1], out)
	}
	m, n := tpsLine.FindStringSubmatch(out), doneLine.FindStringSubmatch(out)
	if m == nil || n == nil {
		return 0, 0, fmt.Errorf("pgbench printed no rate:\n%s", out)
	}
	tps, err = strconv.ParseFloat(m[1], 64)
	if err == nil {
		commits, err = strconv.ParseFloat(n[1], 64)
	}
	return tps, commits, err
}
