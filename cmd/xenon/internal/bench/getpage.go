package bench

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
	"xenon/realio"
)

// GetPageOptions choose how much to read.
type GetPageOptions struct {
	Chains []int // records that lie over a page's image
	Pages  int   // of each table
	Rounds int
	Slice  time.Duration // of reading in batches, warm, each side
}

// A GetPageRow is how pages with so many records over their image are read.
// Latencies are those of one request at a time, rates of batches of 32; the
// processor time is the server's alone. Values are medians of the rounds.
type GetPageRow struct {
	Records int `json:"records"`
	// Cache is warm: every page was read before; or cold: the pageserver has
	// just started on its own directory, and no page is read twice.
	Cache        string  `json:"cache"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	PerCPUSecond float64 `json:"pages_per_cpu_second"`
	PerSecond    float64 `json:"pages_per_second"`
	PeerP50      float64 `json:"peer_p50_us,omitempty"`
	PeerPerCPU   float64 `json:"peer_pages_per_cpu_second,omitempty"`
	RatioP50     float64 `json:"ratio_p50,omitempty"`
	RatioPerCPU  float64 `json:"ratio_pages_per_cpu_second,omitempty"`
}

// A GetPageReport is what `xenon bench getpage --json` prints. Its top level is
// the latency of a page without records, warm; the peer is a server that does
// no more than read blocks of a file.
type GetPageReport struct {
	Metric    string       `json:"metric"`
	Value     float64      `json:"value"`
	Unit      string       `json:"unit"`
	PeerValue float64      `json:"peer_value"`
	Ratio     float64      `json:"ratio"`
	Rows      []GetPageRow `json:"rows"`
}

// GetPage measures reads of pages by the page service.
func GetPage(ctx context.Context, s Site, o GetPageOptions) (GetPageReport, error) {
	b := &getPage{site: s, opts: o}
	defer b.close()
	report := GetPageReport{Metric: "getpage_p50_warm", Unit: "us"}
	if err := b.prepare(ctx); err != nil {
		return report, err
	}
	for i, n := range o.Chains {
		row, err := b.warm(ctx, b.tables[i])
		if err != nil {
			return report, err
		}
		row.Records = n
		report.Rows = append(report.Rows, row)
		s.Say("%3d records, warm: p50 %4.0f µs, p99 %5.0f µs, %7.0f pages per CPU-second; a file's p50 %3.0f µs, %7.0f", n, row.P50, row.P99, row.PerCPUSecond, row.PeerP50, row.PeerPerCPU)
	}
	for i, n := range o.Chains {
		row, err := b.cold(ctx, b.tables[i])
		if err != nil {
			return report, err
		}
		row.Records = n
		report.Rows = append(report.Rows, row)
		s.Say("%3d records, cold: p50 %4.0f µs, p99 %5.0f µs, %7.0f pages per CPU-second", n, row.P50, row.P99, row.PerCPUSecond)
	}
	first := report.Rows[0]
	report.Value, report.PeerValue, report.Ratio = first.P50, first.PeerP50, first.RatioP50
	return report, nil
}

// getPage is the measurement under way.
type getPage struct {
	site   Site
	opts   GetPageOptions
	in     *Installation
	tables []core.Rel // of each length of chains
	id     core.TTID
	addr   string   // of the pageserver
	lsn    core.LSN // to read at
	end    core.LSN // of the WAL

	peer     *exec.Cmd
	peerAddr string
}

func (b *getPage) close() {
	if b.in != nil {
		b.in.Stop()
	}
	if b.peer != nil {
		b.peer.Process.Signal(syscall.SIGKILL)
		b.peer.Wait()
	}
}

// prepare makes a cluster with a table for each length of chains, imports it,
// and writes the records.
func (b *getPage) prepare(ctx context.Context) error {
	p := &plain{b.site.Dist, b.site.User, filepath.Join(b.site.Peer, "data"), b.site.Port + 10}
	if err := b.makeTables(ctx, p); err != nil {
		return err
	}
	var err error
	if b.in, err = b.site.Up(filepath.Join(b.site.Scratch, "x"), "--processes"); err != nil {
		return err
	}
	for _, args := range [][]string{{"endpoint", "stop", "main"}, {"import", p.data, "bench"}, {"endpoint", "start", "bench"}} {
		if err := b.in.Run(ctx, args...); err != nil {
			return err
		}
	}
	if err := b.writeRecords(ctx); err != nil {
		return err
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	return b.startPeer(filepath.Join(p.data, "base", fmt.Sprint(b.tables[0].DB), fmt.Sprint(b.tables[0].Node)))
}

func table(records int) string { return fmt.Sprintf("chain%d", records) }

// makeTables makes tables whose pages hold one short row and much room, so
// that each update of the row stays in its page and is one record.
func (b *getPage) makeTables(ctx context.Context, p *plain) error {
	b.site.Say("making %d tables of %d pages", len(b.opts.Chains), b.opts.Pages)
	if err := p.create(ctx); err != nil {
		return err
	}
	if err := p.appendConf("fsync = off\nautovacuum = off\nmax_wal_size = '4GB'\n"); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	for _, n := range b.opts.Chains {
		// 52 bytes a row with its pointer; a tenth of a page is filled.
		const perPage = 15
		_, err := psql(ctx, p.dist, p.user, p.url(),
			"CREATE TABLE "+table(n)+" (n int, pad char(15)) WITH (fillfactor = 10, autovacuum_enabled = off)",
			fmt.Sprintf("INSERT INTO %s SELECT 0, 'x' FROM generate_series(1, %d)", table(n), perPage*b.opts.Pages),
			"DELETE FROM "+table(n)+" WHERE (ctid::text::point)[1] > 1", "VACUUM "+table(n))
		if err != nil {
			return err
		}
	}
	return p.stop("fast")
}

// writeRecords updates every row of a table as often as its chains are long.
func (b *getPage) writeRecords(ctx context.Context) error {
	e, err := b.in.Endpoint(ctx, "bench")
	if err != nil {
		return err
	}
	for _, n := range b.opts.Chains {
		b.site.Say("writing %d records for each page of %s", n, table(n))
		if err := update(ctx, e, n); err != nil {
			return err
		}
		out, err := psql(ctx, b.site.Dist, b.site.User, socketURL(e), fmt.Sprintf(
			"SELECT (SELECT oid FROM pg_database WHERE datname = 'postgres'), pg_relation_filenode('%[1]s'), pg_relation_size('%[1]s') / 8192, (SELECT min(n) FROM %[1]s)", table(n)))
		if err != nil {
			return err
		}
		var db, node uint32
		var pages, updates int
		if _, err := fmt.Sscanf(strings.ReplaceAll(out, "|", " "), "%d %d %d %d", &db, &node, &pages, &updates); err != nil {
			return fmt.Errorf("%q: %w", out, err)
		}
		if pages < b.opts.Pages || pages > b.opts.Pages*5/4 || updates != n {
			return fmt.Errorf("table %s has %d pages and %d updates, want %d and %d", table(n), pages, updates, b.opts.Pages, n)
		}
		b.tables = append(b.tables, core.Rel{Spc: core.DefaultTablespace, DB: core.OID(db), Node: core.OID(node)})
	}
	return b.goOn(ctx, e)
}

// goOn notes the LSN to read at, and changes every page once more: pages of
// the newest LSN may be kept once they are made, and reading them again would
// say nothing about records.
func (b *getPage) goOn(ctx context.Context, e ctl.Endpoint) error {
	out, err := psql(ctx, b.site.Dist, b.site.User, socketURL(e), "SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return err
	}
	if b.lsn, err = core.ParseLSN(out); err != nil {
		return err
	}
	for _, n := range b.opts.Chains {
		if _, err := psql(ctx, b.site.Dist, b.site.User, socketURL(e), "UPDATE "+table(n)+" SET n = n + 1"); err != nil {
			return err
		}
	}
	return nil
}

// update updates all rows of a table n times. An older snapshot keeps versions
// from being pruned, which would be a record too.
func update(ctx context.Context, e ctl.Endpoint, n int) error {
	env := realio.New(realio.Options{})
	defer env.Close()
	holder, err := connect(ctx, env, e)
	if err != nil {
		return err
	}
	defer holder.Close()
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"} {
		if _, err := holder.Query(sql); err != nil {
			return err
		}
	}
	writer, err := connect(ctx, env, e)
	if err != nil {
		return err
	}
	defer writer.Close()
	for range n {
		if _, err := writer.Query("UPDATE " + table(n) + " SET n = n + 1"); err != nil {
			return err
		}
	}
	return nil
}

// settle stops the endpoint and waits until the pageserver has all its WAL, in
// layers.
func (b *getPage) settle(ctx context.Context) error {
	if err := b.in.Run(ctx, "endpoint", "stop", "bench"); err != nil {
		return err
	}
	s, err := b.in.Status(ctx)
	if err != nil {
		return err
	}
	br, err := b.in.Branch(ctx, "bench")
	if err != nil {
		return err
	}
	b.id, b.end, b.addr = core.TTID{Tenant: br.Tenant, Timeline: br.Timeline}, br.CommitLSN, s.Pageservers[0].Listen
	p := pageserverAt{b.addr, b.id}
	if err := p.reach(ctx, b.end); err != nil {
		return err
	}
	_ = p.checkpoint(ctx, false)
	return nil
}

// startPeer starts a server of the file's blocks, a process as the pageserver
// is.
func (b *getPage) startPeer(file string) error {
	b.peer = exec.Command(b.site.Exe, "bench", "file-server", file)
	out, err := b.peer.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.peer.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	b.peerAddr = strings.TrimSpace(line)
	return err
}

// warm reads pages that were all read before, ours and the file's in turn.
func (b *getPage) warm(ctx context.Context, rel core.Rel) (row GetPageRow, err error) {
	pid, err := b.pid(ctx)
	if err != nil {
		return row, err
	}
	ours, err := openStream(b.addr, b.id, rel, b.lsn)
	if err != nil {
		return row, err
	}
	defer ours.Close()
	theirs, err := openFileReader(b.peerAddr)
	if err != nil {
		return row, err
	}
	defer theirs.Close()
	blocks := shuffled(b.opts.Pages)
	for _, r := range []pageReader{ours, theirs} {
		if _, err := readAll(r, blocks); err != nil {
			return row, err
		}
	}
	var a, c samples
	for range b.opts.Rounds {
		if err := a.round(ours, pid, blocks, b.opts.Slice); err != nil {
			return row, err
		}
		if err := c.round(theirs, b.peer.Process.Pid, blocks, b.opts.Slice); err != nil {
			return row, err
		}
	}
	row = a.row("warm")
	row.PeerP50, row.PeerPerCPU = median(c.p50), median(c.perCPU)
	row.RatioP50, row.RatioPerCPU = median(ratios(a.p50, c.p50)), median(ratios(a.perCPU, c.perCPU))
	return row, nil
}

// cold reads pages from a pageserver that has just started: half of them one
// by one, half in batches.
func (b *getPage) cold(ctx context.Context, rel core.Rel) (row GetPageRow, err error) {
	if err := b.restart(ctx); err != nil {
		return row, err
	}
	pid, err := b.pid(ctx)
	if err != nil {
		return row, err
	}
	ours, err := openStream(b.addr, b.id, rel, b.lsn)
	if err != nil {
		return row, err
	}
	defer ours.Close()
	blocks := shuffled(b.opts.Pages)
	var a samples
	if err := a.latency(ours, blocks[:len(blocks)/2]); err != nil {
		return row, err
	}
	if err := a.rate(ours, pid, blocks[len(blocks)/2:], 0); err != nil {
		return row, err
	}
	return a.row("cold"), nil
}

// restart ends the pageserver, waits for the one that is started in its place,
// and until that has the WAL.
func (b *getPage) restart(ctx context.Context) error {
	old, err := b.pid(ctx)
	if err != nil {
		return err
	}
	// One that is told to end is not started again.
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		return err
	}
	err = await(ctx, "the next pageserver", 50*time.Millisecond, func() (bool, error) {
		now, err := b.pid(ctx)
		return err == nil && now != 0 && now != old, nil
	})
	if err != nil {
		return err
	}
	return pageserverAt{b.addr, b.id}.reach(ctx, b.end)
}

func (b *getPage) pid(ctx context.Context) (int, error) {
	s, err := b.in.Status(ctx)
	if err != nil || len(s.Pageservers) == 0 {
		return 0, err
	}
	return s.Pageservers[0].PID, nil
}

// shuffled is the numbers of n blocks in no order.
func shuffled(n int) []uint32 {
	blocks := make([]uint32, n)
	for i, v := range rand.Perm(n) {
		blocks[i] = uint32(v)
	}
	return blocks
}

// samples are what the rounds of one side gave.
type samples struct{ p50, p99, perCPU, perSecond []float64 }

func (s *samples) round(r pageReader, pid int, blocks []uint32, d time.Duration) error {
	if err := s.latency(r, blocks[:min(len(blocks), 2000)]); err != nil {
		return err
	}
	return s.rate(r, pid, blocks, d)
}

// latency asks for one page at a time.
func (s *samples) latency(r pageReader, blocks []uint32) error {
	took := make([]float64, 0, len(blocks))
	for i := range blocks {
		begin := time.Now()
		if err := r.read(blocks[i : i+1]); err != nil {
			return err
		}
		took = append(took, float64(time.Since(begin))/1e3)
	}
	slices.Sort(took)
	s.p50 = append(s.p50, took[len(took)/2])
	s.p99 = append(s.p99, took[len(took)*99/100])
	return nil
}

// rate asks for batches, for so long, and at least for every block once.
func (s *samples) rate(r pageReader, pid int, blocks []uint32, d time.Duration) error {
	before, err := cpuTime(pid)
	if err != nil {
		return err
	}
	begin, pages := time.Now(), 0
	for pages == 0 || time.Since(begin) < d {
		n, err := readAll(r, blocks)
		if err != nil {
			return err
		}
		pages += n
	}
	took := time.Since(begin)
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	s.perCPU = append(s.perCPU, float64(pages)/(after-before).Seconds())
	s.perSecond = append(s.perSecond, float64(pages)/took.Seconds())
	return nil
}

func (s *samples) row(cache string) GetPageRow {
	return GetPageRow{Cache: cache, P50: median(s.p50), P99: median(s.p99), PerCPUSecond: median(s.perCPU), PerSecond: median(s.perSecond)}
}

// readAll reads all blocks in batches.
func readAll(r pageReader, blocks []uint32) (n int, err error) {
	for batch := range slices.Chunk(blocks, pageBatch) {
		if err := r.read(batch); err != nil {
			return n, err
		}
		n += len(batch)
	}
	return n, nil
}

func ratios(a, b []float64) []float64 {
	all := make([]float64, min(len(a), len(b)))
	for i := range all {
		all[i] = a[i] / b[i]
	}
	return all
}
