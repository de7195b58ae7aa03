package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// decodings are what is measured of reading WAL, each a process beside
// pg_waldump, on all segments since initdb. Both read, check and take apart
// every record; counting is little more than that, printing writes a line for
// each to /dev/null, as pg_waldump does unless it is told otherwise. Our lines
// say more: the fields of tuples' headers, lists, lengths of data.
var decodings = [...]struct {
	metric string
	ours   string // of xenon wal
	theirs []string
}{
	{"decoding and counting", "stats", []string{"--stats=record"}},
	{"decoding and printing", "dump", nil},
}

// A decoding is one run of ours and of the peer.
type decoding struct{ ours, theirs cost }

// A cost is what a process took.
type cost struct{ cpu, elapsed time.Duration }

// decode runs one of decodings.
func (b *redoBench) decode(ctx context.Context, which int) (d decoding, err error) {
	what, first, last := decodings[which], b.first.String(), b.last.String()
	if d.ours, err = costOf(exec.CommandContext(ctx, b.site.Exe, "wal", what.ours, b.walDir, "--end", last)); err != nil {
		return d, err
	}
	name, err := b.site.Dist.Path("pg_waldump")
	if err != nil {
		return d, err
	}
	args := append([]string{"-p", b.walDir, "-s", first, "-e", last}, what.theirs...)
	d.theirs, err = costOf(exec.CommandContext(ctx, name, args...))
	return d, err
}

func costOf(cmd *exec.Cmd) (c cost, err error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return c, fmt.Errorf("%s: %w: %s", cmd.Path, err, complaint.Bytes())
	}
	c.elapsed = time.Since(begin)
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return c, nil
}

// decodingRows are what the runs of one of decodings come to.
func (b *redoBench) decodingRows(metric string, runs []decoding) []RedoRow {
	rate := func(of func(decoding) time.Duration) float64 {
		var all []time.Duration
		for _, r := range runs {
			all = append(all, of(r))
		}
		return float64(b.last-b.first) / 1e6 / seconds(all)
	}
	return []RedoRow{
		ratioRow(metric, "MB/CPU-s",
			rate(func(d decoding) time.Duration { return d.ours.cpu }), rate(func(d decoding) time.Duration { return d.theirs.cpu })),
		ratioRow(metric, "MB/s",
			rate(func(d decoding) time.Duration { return d.ours.elapsed }), rate(func(d decoding) time.Duration { return d.theirs.elapsed })),
	}
}
