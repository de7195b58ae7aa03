package safekeeper_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wire/http1"
	"xenon/internal/pgtest"
	"xenon/realio"
)

// A pgBin runs PostgreSQL's programs.
type pgBin struct {
	pgtest.Postgres
	t *testing.T
}

func (p pgBin) command(name string, args ...string) *exec.Cmd {
	cmd := p.Command(context.Background(), name, args...)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.Env = append(cmd.Env, "PGCONNECT_TIMEOUT=60")
	return cmd
}

func (p pgBin) run(name string, args ...string) string {
	p.t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// cluster makes WAL with a real server and returns its data directory.
func (p pgBin) cluster() string {
	data := filepath.Join(p.Dir(), "data")
	p.run("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	sock := filepath.Dir(data)
	opts := fmt.Sprintf("-c listen_addresses='' -k %s -c fsync=off -c wal_keep_size=1GB", sock)
	p.run("pg_ctl", "-D", data, "-w", "-l", filepath.Join(sock, "log"), "-o", opts, "start")
	stop := func() { p.command("pg_ctl", "-D", data, "-w", "-m", "fast", "stop").Run() }
	p.t.Cleanup(stop)
	u := "postgres"
	if os.Geteuid() != 0 {
		me, _ := user.Current()
		u = me.Username
	}
	p.run("psql", "-h", sock, "-U", u, "-d", "postgres", "-c", `
		create table t as select g, repeat(md5(g::text), 20) from generate_series(1, 20000) g`,
		"-c", "select pg_switch_wal()", "-c", "create index on t (g)", "-c", "select pg_logical_emit_message(false, 'x', repeat('y', 17 << 20))")
	stop()
	return data
}

// readPGWAL reads all segments of a data directory in order, and what its
// control file says of it.
func readPGWAL(t *testing.T, data string) (first core.LSN, b []byte, ctl *wal.Control) {
	raw, err := os.ReadFile(filepath.Join(data, "global/pg_control"))
	if err != nil {
		t.Fatal(err)
	}
	if ctl, err = wal.DecodeControl(raw); err != nil {
		t.Fatal(err)
	}
	size := ctl.Format().SegmentSize
	entries, err := os.ReadDir(filepath.Join(data, "pg_wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		_, seg, ok := core.ParseSegmentName(e.Name(), size)
		if !ok {
			continue
		}
		at := core.SegmentStart(seg, size)
		if first == 0 {
			first = at
		}
		if at != first+core.LSN(len(b)) {
			break // recycled for later
		}
		one, err := os.ReadFile(filepath.Join(data, "pg_wal", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, one...)
	}
	return first, b, ctl
}

// Stock pg_receivewal, started while the timeline is in its first segment,
// gets the very bytes that a real server wrote.
func TestPGReceiveWAL(t *testing.T) {
	p := pgBin{pgtest.Need(t), t}
	first, log, ctl := readPGWAL(t, p.cluster())
	f := ctl.Format()
	read := func(b []byte, at core.LSN) (int, error) { return copy(b, log[at-first:]), nil }
	d := wal.NewDecoder(f, first, 0)
	d.Feed(first, log[:8<<20])
	var at core.LSN
	for range 100 { // the timeline begins inside the first segment
		rec, ok, err := d.Next()
		if !ok {
			t.Fatal(err)
		}
		at = rec.End
	}
	tail, err := wal.FindEnd(f, read, at, 0)
	if err != nil {
		t.Fatal(err)
	}
	end := tail.End

	dir := t.TempDir()
	real := realio.New(realio.Options{Root: dir, Log: quiet, Grace: time.Millisecond})
	r := boot(t, real, real, safekeeper.Limits{})
	server := consensus.Server{PGVersion: 150018, SystemID: ctl.SystemID, SegmentSize: f.SegmentSize}
	body := safekeeper.NewCreation(ttid, conf, server, at, log[:at-first])
	if err := http1.Call(real.Context(), r.e, r.addr, "POST", "/v1/tenant/timeline", body, nil); err != nil {
		t.Fatal(err)
	}

	out := p.Dir()
	host, port, _ := net.SplitHostPort(r.addr)
	cmd := p.command("pg_receivewal", "-h", host, "-p", port, "-U", "xenon", "-D", out, "--no-loop", "-E", (end - 8).String(), "-v", "-S", "s", "--synchronous")
	cmd.Env = append(cmd.Env, fmt.Sprintf("PGOPTIONS=-c tenant_id=%s -c timeline_id=%s", ttid.Tenant, ttid.Timeline))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	feed(t, r, server, at, log[at-first:end-first])
	if err := cmd.Wait(); err != nil {
		t.Fatalf("pg_receivewal: %v\n%s", err, said.String())
	}
	for seg := first.Segment(f.SegmentSize); seg <= (end - 1).Segment(f.SegmentSize); seg++ {
		from := core.SegmentStart(seg, f.SegmentSize)
		to := min(end, core.SegmentStart(seg+1, f.SegmentSize))
		got := readEither(t, filepath.Join(out, core.SegmentName(1, seg, f.SegmentSize)))
		if !bytes.Equal(got[:to-from], log[from-first:to-first]) {
			t.Errorf("segment %d of pg_receivewal differs\n%s", seg, said.String())
		}
		own := readEither(t, filepath.Join(dir, "timelines", ttid.String(), core.SegmentName(1, seg, f.SegmentSize)))
		if !bytes.Equal(own[:to-from], log[from-first:to-first]) {
			t.Errorf("segment %d of the safekeeper differs", seg)
		}
	}
	if s := r.status(); s.Commit != end {
		t.Errorf("commit LSN %s, want %s", s.Commit, end)
	}
}

func readEither(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		b, err = os.ReadFile(name + ".partial")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// feed is a proposer alone: it appends log from at on and commits it.
func feed(t *testing.T, r *rig, server consensus.Server, at core.LSN, log []byte) {
	t.Helper()
	p := r.push()
	p.sendGreeting(server)
	p.mustReceive()
	v := p.vote(1)
	p.elect(1, v.Flush, consensus.History{{Term: 1, LSN: v.Flush}})
	committed := core.LSN(0)
	for len(log) > 0 {
		n := min(len(log), consensus.MaxAppend)
		resp, err := p.append(1, at, log[:n], committed)
		if err != nil {
			t.Fatal(err)
		}
		committed = resp.Flush
		at, log = at+core.LSN(n), log[n:]
	}
	if _, err := p.append(1, at, nil, committed); err != nil {
		t.Fatal(err)
	}
}
