package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
)

// IngestOptions choose the WAL.
type IngestOptions struct {
	Scale        int // of pgbench -i
	Transactions int // of pgbench, after it
	Rounds       int
}

// An IngestRow is one round: a fresh pageserver takes in all WAL from a
// safekeeper, and pg_receivewal does, from the same.
type IngestRow struct {
	Seconds     float64 `json:"seconds"` // to the end of the WAL
	PeerSeconds float64 `json:"peer_seconds"`
	// Ratio is ours to the peer's wall time for the same number of bytes: the
	// peer ends a segment earlier, since it ends only behind a whole one.
	Ratio          float64 `json:"ratio"`
	MBPerCPUSecond float64 `json:"mb_per_cpu_second"`
	PeakRSS        int64   `json:"peak_rss_bytes"`
	// Written and Uploaded are what there is more in the pageserver's directory
	// and of its objects in the store, once everything is flushed and uploaded,
	// as parts of the WAL.
	Written  float64 `json:"written_per_wal"`
	Uploaded float64 `json:"uploaded_per_wal"`
}

// An IngestReport is what `xenon bench ingest --json` prints. Its top level is
// MB (10^6 bytes) of WAL for each second of the pageserver's processor time;
// the ratio is that of wall times.
type IngestReport struct {
	Metric    string  `json:"metric"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	PeerValue float64 `json:"peer_value"` // MB/s of pg_receivewal, wall time
	Ratio     float64 `json:"ratio"`
	WALBytes  int64   `json:"wal_bytes"`
	// Live is the pageserver that took the WAL in while it was written.
	Live IngestLive  `json:"live"`
	Rows []IngestRow `json:"rows"`
}

// IngestLive is a pageserver under load.
type IngestLive struct {
	PeakRSS  int64   `json:"peak_rss_bytes"`
	Uploaded float64 `json:"uploaded_per_wal"`
	// WALStored is what lies in the store of the WAL itself, whole segments and
	// the partial ones that were there by then, which safekeepers keep there.
	WALStored float64 `json:"wal_stored_per_wal"`
}

// Ingest measures how a pageserver takes in WAL.
func Ingest(ctx context.Context, s Site, o IngestOptions) (report IngestReport, err error) {
	b := &ingest{site: s, opts: o}
	defer b.close()
	report = IngestReport{Metric: "ingest", Unit: "MB/CPU-s"}
	if err := b.prepare(ctx); err != nil {
		return report, err
	}
	report.WALBytes, report.Live = b.walBytes(), b.live
	s.Say("%.0f MB of WAL; the pageserver beside it: %d MiB at most, %.2f × WAL in the object store, and %.2f × of the WAL itself", float64(b.walBytes())/1e6, b.live.PeakRSS>>20, b.live.Uploaded, b.live.WALStored)
	var perCPU, peerRate, ratio []float64
	for range o.Rounds {
		row, err := b.round(ctx)
		if err != nil {
			return report, err
		}
		s.Say("%6.2f s, %4.0f MB per CPU-second, %d MiB at most, %.2f × WAL written, %.2f × uploaded; pg_receivewal %6.2f s, ratio %.2f",
			row.Seconds, row.MBPerCPUSecond, row.PeakRSS>>20, row.Written, row.Uploaded, row.PeerSeconds, row.Ratio)
		report.Rows = append(report.Rows, row)
		perCPU, ratio = append(perCPU, row.MBPerCPUSecond), append(ratio, row.Ratio)
		peerRate = append(peerRate, float64(b.peerBytes())/1e6/row.PeerSeconds)
	}
	report.Value, report.PeerValue, report.Ratio = median(perCPU), median(peerRate), median(ratio)
	return report, nil
}

// ingest is the measurement under way.
type ingest struct {
	site   Site
	opts   IngestOptions
	in     *Installation
	base   string // objects before there was any WAL
	branch ctl.Branch
	first  core.LSN // of the WAL
	end    core.LSN
	live   IngestLive
	keeper string // a safekeeper's address
	rounds int
}

func (b *ingest) close() {
	if b.in != nil {
		b.in.Stop()
	}
}

func (b *ingest) id() core.TTID {
	return core.TTID{Tenant: b.branch.Tenant, Timeline: b.branch.Timeline}
}
func (b *ingest) walBytes() int64 { return int64(b.end - b.first) }

// peerEnd is where pg_receivewal ends: a segment before the end.
func (b *ingest) peerEnd() core.LSN          { return b.end - core.DefaultSegmentSize }
func (b *ingest) peerBytes() int64           { return int64(b.peerEnd() - b.first) }
func (b *ingest) scratch(name string) string { return filepath.Join(b.site.Scratch, name) }

// prepare makes an installation, keeps its objects as they are before there is
// WAL, and writes the WAL.
func (b *ingest) prepare(ctx context.Context) (err error) {
	home := b.scratch("x")
	if b.in, err = b.site.Up(home, "--processes"); err != nil {
		return err
	}
	b.in.Stop()
	b.base = b.scratch("base")
	if err := os.CopyFS(b.base, os.DirFS(filepath.Join(home, "objects"))); err != nil {
		return err
	}
	if b.in, err = b.site.Up(home, "--processes"); err != nil {
		return err
	}
	if b.branch, err = b.in.Branch(ctx, "main"); err != nil {
		return err
	}
	b.first = b.branch.StartLSN
	if err := b.load(ctx); err != nil {
		return err
	}
	s, err := b.in.Status(ctx)
	if err != nil {
		return err
	}
	ps := pageserverAt{s.Pageservers[0].Listen, b.id()}
	b.keeper = s.Safekeepers[0].Listen
	if b.branch, err = b.in.Branch(ctx, "main"); err != nil {
		return err
	}
	b.end = b.branch.CommitLSN
	if b.peerEnd() <= b.first {
		return fmt.Errorf("%d bytes of WAL are too few: take a larger --scale", b.walBytes())
	}
	if err := ps.reach(ctx, b.end); err != nil {
		return err
	}
	if err := ps.checkpoint(ctx, true); err != nil {
		return err
	}
	return b.noteLive(s.Pageservers[0].PID)
}

// load runs pgbench and stops the endpoint.
func (b *ingest) load(ctx context.Context) error {
	b.site.Say("pgbench of scale %d, then %d transactions", b.opts.Scale, b.opts.Transactions)
	d, u := b.site.Dist, b.site.User
	if _, err := client(ctx, d, u, "pgbench", "-i", "-q", "-s", strconv.Itoa(b.opts.Scale), b.in.URL); err != nil {
		return err
	}
	if b.opts.Transactions > 0 {
		if _, err := client(ctx, d, u, "pgbench", "-n", "-c", "4", "-j", "2", "-t", strconv.Itoa(b.opts.Transactions/4), b.in.URL); err != nil {
			return err
		}
	}
	return b.in.Run(ctx, "endpoint", "stop", "main")
}

// noteLive notes how the pageserver did that was there from the start.
func (b *ingest) noteLive(pid int) error {
	before, walBefore, err := objectBytes(b.base)
	if err != nil {
		return err
	}
	after, walAfter, err := objectBytes(filepath.Join(b.in.Dir, "objects"))
	if err != nil {
		return err
	}
	b.live.Uploaded = float64(after-before) / float64(b.walBytes())
	b.live.WALStored = float64(walAfter-walBefore) / float64(b.walBytes())
	b.live.PeakRSS, err = peakRSS(pid)
	return err
}

// round lets a fresh pageserver and pg_receivewal take in the WAL.
func (b *ingest) round(ctx context.Context) (row IngestRow, err error) {
	b.rounds++
	if row, err = b.ours(ctx, b.scratch(fmt.Sprintf("round%d", b.rounds))); err != nil {
		return row, err
	}
	if row.PeerSeconds, err = b.peer(ctx, filepath.Join(b.site.Peer, fmt.Sprintf("wal%d", b.rounds))); err != nil {
		return row, err
	}
	row.Ratio = row.Seconds / float64(b.walBytes()) / (row.PeerSeconds / float64(b.peerBytes()))
	return row, nil
}

// ours runs a pageserver on a copy of the objects from before there was WAL.
func (b *ingest) ours(ctx context.Context, dir string) (row IngestRow, err error) {
	defer os.RemoveAll(dir)
	home, objects := filepath.Join(dir, "pageserver"), filepath.Join(dir, "objects")
	if err := os.CopyFS(objects, os.DirFS(b.base)); err != nil {
		return row, err
	}
	before, _, err := objectBytes(objects)
	if err != nil {
		return row, err
	}
	ps := pageserverAt{fmt.Sprintf("127.0.0.1:%d", b.site.Port+20+b.rounds), b.id()}
	cmd := exec.Command(b.site.Exe, "run", "pageserver", "-c", "id=9", "-c", "dir="+strconv.Quote(home),
		"-c", "listen="+strconv.Quote(ps.addr), "-c", "remote_storage={local_path="+strconv.Quote(objects)+"}")
	cmd.Stderr = b.site.Stderr
	if err := cmd.Start(); err != nil {
		return row, err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	}()
	err = await(ctx, "a pageserver to listen", 5*time.Millisecond, func() (bool, error) {
		return call(ctx, "GET", "http://"+ps.addr+"/v1/status", nil, nil) == nil, nil
	})
	if err != nil {
		return row, err
	}
	if err := b.take(ctx, ps, cmd.Process.Pid, &row); err != nil {
		return row, err
	}
	row.PeakRSS, err = peakRSS(cmd.Process.Pid)
	written, err2 := dirBytes(home)
	after, _, err3 := objectBytes(objects)
	row.Written, row.Uploaded = float64(written)/float64(b.walBytes()), float64(after-before)/float64(b.walBytes())
	return row, errors.Join(err, err2, err3)
}

// take measures from the moment a pageserver is told of the timeline until it
// has all of it.
func (b *ingest) take(ctx context.Context, ps pageserverAt, pid int, row *IngestRow) error {
	cpu, err := cpuTime(pid)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := ps.attach(ctx, []string{b.keeper}); err != nil {
		return err
	}
	if err := ps.reach(ctx, b.end); err != nil {
		return err
	}
	row.Seconds = time.Since(begin).Seconds()
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	row.MBPerCPUSecond = float64(b.walBytes()) / 1e6 / (after - cpu).Seconds()
	return ps.checkpoint(ctx, true)
}

// peer runs pg_receivewal.
func (b *ingest) peer(ctx context.Context, dir string) (seconds float64, err error) {
	defer os.RemoveAll(dir)
	if err := b.prepareReceiver(dir); err != nil {
		return 0, err
	}
	cmd, err := b.site.Dist.Command(ctx, b.site.User, "pg_receivewal", "--synchronous", "--no-loop", "-D", dir, "-E", b.peerEnd().String(), "-d", b.conninfo())
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("pg_receivewal: %w: %s", err, out)
	}
	return time.Since(begin).Seconds(), nil
}

// prepareReceiver makes the directory of pg_receivewal. With nothing in it, it
// would begin at the end of the WAL, not at its beginning.
func (b *ingest) prepareReceiver(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	const size = core.DefaultSegmentSize
	begun := filepath.Join(dir, core.SegmentName(1, b.first.Segment(size), size)+".partial")
	if err := os.WriteFile(begun, nil, 0o600); err != nil || !b.site.User.Switch {
		return err
	}
	uid, gid := int(b.site.User.UID), int(b.site.User.GID)
	return errors.Join(os.Chown(dir, uid, gid), os.Chown(begun, uid, gid))
}

func (b *ingest) conninfo() string {
	host, port, _ := net.SplitHostPort(b.keeper)
	return fmt.Sprintf("host=%s port=%s user=postgres options='-c tenant_id=%s -c timeline_id=%s'", host, port, b.branch.Tenant, b.branch.Timeline)
}
