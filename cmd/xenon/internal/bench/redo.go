package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
	"xenon/core/wal/segments"
)

// RedoOptions choose the WAL.
type RedoOptions struct {
	Scale        int // of pgbench
	Transactions int
	Rounds       int
}

// A RedoRow is one figure beside its peer's, the medians of all rounds.
type RedoRow struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	// PeerValue is that of the startup process of stock PostgreSQL, or of
	// pg_waldump; a chain has none.
	PeerValue float64 `json:"peer_value"`
	Ratio     float64 `json:"ratio"` // of value to peer value
	// Aim is what the value is meant to stay below, where there is no peer.
	Aim float64 `json:"aim,omitempty"`
}

// A RedoReport is what `xenon bench redo --json` prints. Its top level is the
// processor time of a record.
type RedoReport struct {
	RedoRow
	Records  int64     `json:"records"`
	WALBytes int64     `json:"wal_bytes"`
	Rows     []RedoRow `json:"rows"`
}

// Table is the rows as text.
func (r RedoReport) Table() string {
	var b strings.Builder
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%-28s %10.2f %-14s", row.Metric, row.Value, row.Unit)
		if row.Aim != 0 {
			fmt.Fprintf(&b, " aim %.1f\n", row.Aim)
		} else {
			fmt.Fprintf(&b, " peer %10.2f, ratio %.2f\n", row.PeerValue, row.Ratio)
		}
	}
	return b.String()
}

// Redo measures redo and decoding in memory: the WAL of pgbench with
// full_page_writes off, replayed onto the pages of the data directory from
// before it, beside the recovery of the same by PostgreSQL.
func Redo(ctx context.Context, s Site, o RedoOptions) (report RedoReport, err error) {
	b := &redoBench{site: s, opts: o}
	if err := b.prepare(ctx); err != nil {
		return report, err
	}
	var ours, theirs []time.Duration
	var read [len(decodings)][]decoding
	for range o.Rounds {
		mine, err := b.ours()
		if err != nil {
			return report, err
		}
		peer, err := b.peer(ctx)
		if err != nil {
			return report, err
		}
		for i := range decodings {
			d, err := b.decode(ctx, i)
			if err != nil {
				return report, err
			}
			read[i] = append(read[i], d)
		}
		s.Say("redo %.2f s of processor time, PostgreSQL %.2f s", mine.Seconds(), peer.Seconds())
		ours, theirs = append(ours, mine), append(theirs, peer)
	}
	chains, err := b.chains()
	if err != nil {
		return report, err
	}
	report = b.report(seconds(ours), seconds(theirs))
	for i, d := range decodings {
		report.Rows = append(report.Rows, b.decodingRows(d.metric, read[i])...)
	}
	report.Rows = append(report.Rows, chains...)
	return report, nil
}

func seconds(d []time.Duration) float64 {
	var all []float64
	for _, v := range d {
		all = append(all, v.Seconds())
	}
	return median(all)
}

// redoBench is the measurement under way.
type redoBench struct {
	site Site
	opts RedoOptions

	base    string // data directory before the WAL, cleanly shut down
	walDir  string
	first   core.LSN // of all segments
	start   core.LSN
	last    core.LSN // the shutdown checkpoint after the WAL
	records int64
	bytes   int64
	rounds  int
	heap    []*chainCase
}

func ratioRow(metric, unit string, value, peer float64) RedoRow {
	return RedoRow{Metric: metric, Unit: unit, Value: value, PeerValue: peer, Ratio: value / peer}
}

func (b *redoBench) report(ours, theirs float64) RedoReport {
	n, gb := float64(b.records), float64(b.bytes)/1e9
	top := ratioRow("redo", "CPU-µs/record", ours/n*1e6, theirs/n*1e6)
	return RedoReport{RedoRow: top, Records: b.records, WALBytes: b.bytes, Rows: []RedoRow{
		top,
		ratioRow("redo of a gigabyte of WAL", "CPU-s/GB", ours/gb, theirs/gb),
		ratioRow("records redone", "records/CPU-s", n/ours, n/theirs),
	}}
}

// redoSettings keep all WAL and leave nothing to do but to write it.
const redoSettings = "full_page_writes = off\nautovacuum = off\nmax_wal_size = '100GB'\ncheckpoint_timeout = '1d'\n" +
	"wal_keep_size = 1000000\nwal_recycle = off\nfsync = off\nshared_buffers = '512MB'\nbgwriter_lru_maxpages = 0\nhot_standby = off\n"

// prepare makes the data directory and the WAL.
func (b *redoBench) prepare(ctx context.Context) error {
	s := b.site
	s.Say("pgbench of scale %d, then %d transactions", b.opts.Scale, b.opts.Transactions)
	p := &plain{s.Dist, s.User, filepath.Join(s.Peer, "data"), s.Port}
	defer p.stop("immediate")
	if err := p.create(ctx); err != nil {
		return err
	}
	if err := p.appendConf(redoSettings); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if _, err := client(ctx, s.Dist, s.User, "pgbench", "-i", "-q", "-s", strconv.Itoa(b.opts.Scale), p.url()); err != nil {
		return err
	}
	if err := p.stop("fast"); err != nil {
		return err
	}
	b.base = filepath.Join(s.Peer, "base")
	if err := copyTree(ctx, p.data, b.base); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if _, err := client(ctx, s.Dist, s.User, "pgbench", "-n", "-c", "4", "-j", "2", "-t", strconv.Itoa(b.opts.Transactions/4), p.url()); err != nil {
		return err
	}
	if err := p.stop("fast"); err != nil {
		return err
	}
	b.walDir = filepath.Join(p.data, "pg_wal")
	before, err := readControl(b.base)
	if err != nil {
		return err
	}
	after, err := readControl(p.data)
	if err != nil {
		return err
	}
	b.start, b.last = before.CheckPoint.Redo, after.CheckPointLSN
	b.bytes = int64(b.last - b.start)
	set, err := segments.Open(os.DirFS(b.walDir), ".", 0)
	if err != nil {
		return err
	}
	b.first = set.Start()
	return b.collect(before)
}

func copyTree(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

func readControl(data string) (*wal.Control, error) {
	b, err := os.ReadFile(filepath.Join(data, "global", "pg_control"))
	if err != nil {
		return nil, err
	}
	return wal.DecodeControl(b)
}

// replay replays all WAL once.
func (b *redoBench) replay(watch func(*wal.Record, *wal.Block, *redo.Page)) (*replayer, error) {
	ctl, err := readControl(b.base)
	if err != nil {
		return nil, err
	}
	set, err := segments.Open(os.DirFS(b.walDir), ".", 0)
	if err != nil {
		return nil, err
	}
	rd := set.NewReader(b.start)
	defer rd.Close()
	r := newReplayer(b.base, redo.CountersOf(ctl))
	r.watch = watch
	defer r.close()
	for rd.End() <= b.last {
		rec, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the WAL ends before %s: %w", b.last, rd.Stop())
		}
		if err != nil {
			return nil, err
		}
		if err := r.apply(rec); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ours is the processor time of redo, with everything that the Go runtime does
// for it.
func (b *redoBench) ours() (time.Duration, error) {
	runtime.GC()
	before := ownCPU()
	r, err := b.replay(nil)
	if err != nil {
		return 0, err
	}
	if b.records != 0 && b.records != r.records {
		return 0, fmt.Errorf("%d records, %d the last time", r.records, b.records)
	}
	b.records = r.records
	return ownCPU() - before, nil
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// redoDone is what the startup process logs of itself.
var redoDone = regexp.MustCompile(`redo done at \S+ system usage: CPU: user: ([0-9.]+) s, system: ([0-9.]+) s`)

// peer is the processor time of the startup process of PostgreSQL.
func (b *redoBench) peer(ctx context.Context) (time.Duration, error) {
	s := b.site
	b.rounds++
	p := &plain{s.Dist, s.User, filepath.Join(s.Peer, fmt.Sprintf("round%d", b.rounds)), s.Port}
	defer os.RemoveAll(p.data)
	if err := copyTree(ctx, b.base, p.data); err != nil {
		return 0, err
	}
	if err := os.RemoveAll(filepath.Join(p.data, "pg_wal")); err != nil {
		return 0, err
	}
	if err := copyTree(ctx, b.walDir, filepath.Join(p.data, "pg_wal")); err != nil {
		return 0, err
	}
	if err := p.appendConf(fmt.Sprintf("restore_command = 'false'\nrecovery_target_lsn = '%s'\nrecovery_target_inclusive = on\n"+
		"recovery_target_action = 'promote'\n", b.last)); err != nil {
		return 0, err
	}
	signal := filepath.Join(p.data, "recovery.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return 0, err
	}
	if s.User.Switch {
		if err := os.Chown(signal, int(s.User.UID), int(s.User.GID)); err != nil {
			return 0, err
		}
	}
	// The log of the server that wrote the WAL came with the base.
	if err := os.Remove(p.log()); err != nil {
		return 0, err
	}
	defer p.stop("immediate")
	if err := p.start(ctx); err != nil {
		return 0, err
	}
	m, err := b.awaitRedo(ctx, p)
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseFloat(string(m[1]), 64)
	system, err2 := strconv.ParseFloat(string(m[2]), 64)
	return time.Duration((user + system) * 1e9), errors.Join(err, err2)
}

// awaitRedo waits for what the startup process logs at its end. Without
// hot_standby pg_ctl does not wait for it.
func (b *redoBench) awaitRedo(ctx context.Context, p *plain) (m [][]byte, err error) {
	err = await(ctx, "PostgreSQL's recovery", 20*time.Millisecond, func() (bool, error) {
		log, err := os.ReadFile(p.log())
		if err != nil {
			return false, err
		}
		if bytes.Contains(log, []byte("FATAL")) {
			return false, fmt.Errorf("recovery by PostgreSQL:\n%s", log)
		}
		m = redoDone.FindSubmatch(log)
		return m != nil, nil
	})
	return m, err
}
