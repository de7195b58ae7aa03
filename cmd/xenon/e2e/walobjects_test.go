package e2e_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/consensus"
	"xenon/core"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/realio"
)

// TestWALLeavesTheDisks: WAL of many segments goes to the object store and from
// the safekeepers' disks; it is still served, whole, and a pageserver that has
// lost its directory is rebuilt. Behind a limit commits wait, the status says
// for what, and they go on once WAL may go.
func TestWALLeavesTheDisks(t *testing.T) {
	const limit = 5 * core.DefaultSegmentSize
	in := &installation{t: t, dist: needs(t), dir: filepath.Join(workDir(t), "x")}
	in.start()
	t.Cleanup(in.destroy)
	in.signal(syscall.SIGINT)
	in.await()
	f, err := os.OpenFile(filepath.Join(in.dir, "xenon.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\n[limits]\nmax_timeline_bytes = %d\nwal_hold_seconds = 5\n", limit)
	f.Close()
	in.start()

	first := in.status().Safekeepers[0].Timelines[0].LocalStart
	in.psql("main", "CREATE TABLE t (n int)")
	// Nobody asks the pageserver to store pages: safekeepers come to the limit.
	done := make(chan error, 1)
	segments := func(n int) {
		for i := range n {
			if _, err := in.xenon("psql", "main", "-c", fmt.Sprintf("INSERT INTO t SELECT generate_series(1, 1000); SELECT %d, pg_switch_wal()", i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}
	const written = 12
	go segments(written)
	eventually(t, "safekeepers at their limit", func() bool {
		return strings.Contains(strings.Join(in.status().Notes, "\n"), "limits.max_timeline_bytes")
	})
	if notes := strings.Join(in.status().Notes, "\n"); !strings.Contains(notes, "the pageserver has not stored the pages of the WAL above") {
		t.Errorf("the notes do not say what keeps the WAL:\n%s", notes)
	}
	select {
	case err := <-done:
		t.Fatalf("commits did not wait: %v", err)
	case <-time.After(time.Second):
	}
	eventually(t, "commits that go on", func() bool {
		in.checkpoint()
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	in.checkpoint()
	eventually(t, "disks without old WAL", func() bool { return in.mostWAL() <= 3*core.DefaultSegmentSize })
	begin := core.SegmentStart(first.Segment(core.DefaultSegmentSize), core.DefaultSegmentSize)
	for _, k := range in.status().Safekeepers {
		tl := k.Timelines[0]
		if tl.WALBytes > limit || tl.LocalStart < begin+(written-2)*core.DefaultSegmentSize || tl.BackupLSN < tl.LocalStart {
			t.Errorf("safekeeper %d: %d bytes of WAL from %s on, stored up to %s, the first was at %s", k.ID, tl.WALBytes, tl.LocalStart, tl.BackupLSN, first)
		}
	}
	in.readsWAL(first, written-3)

	in.signal(syscall.SIGINT)
	in.await()
	in.lose("pageserver-1")
	in.start()
	if got := in.psql("main", "SELECT count(*) FROM t"); got != fmt.Sprint(1000*written) {
		t.Errorf("%s rows with a pageserver made anew, want %d", got, 1000*written)
	}
}

// mostWAL is how much WAL the safekeeper with the most has.
func (in *installation) mostWAL() (most uint64) {
	for _, k := range in.status().Safekeepers {
		for _, t := range k.Timelines {
			most = max(most, t.WALBytes)
		}
	}
	return most
}

// checkpoint asks the pageserver to write and store what it has.
func (in *installation) checkpoint() {
	in.t.Helper()
	p := in.status().Pageservers[0]
	url := fmt.Sprintf("http://%s/v1/tenant/%s/timeline/%s/checkpoint", p.Listen, p.Timelines[0].Tenant, p.Timelines[0].Timeline)
	req, err := http.NewRequest("PUT", url, nil)
	if err != nil {
		in.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		in.t.Fatalf("checkpoint: %s", res.Status)
	}
}

// readsWAL reads segments that have left the disks from every safekeeper.
func (in *installation) readsWAL(from core.LSN, segments int) {
	t := in.t
	t.Helper()
	e := realio.New(realio.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	defer e.Close()
	for _, k := range in.status().Safekeepers {
		if err := readSegments(e, k, from, from+core.LSN(segments)*core.DefaultSegmentSize); err != nil {
			t.Errorf("safekeeper %d: %v", k.ID, err)
		}
	}
}

func readSegments(e *realio.Env, k ctl.Safekeeper, from, to core.LSN) error {
	member, err := consensus.ParseMember(k.ID, k.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	s, err := wire.OpenWALCopy(ctx, e, member, wire.ClientConfig{
		ApplicationName: "e2e", TTID: core.TTID{Tenant: k.Timelines[0].Tenant, Timeline: k.Timelines[0].Timeline}, Timeout: patience,
	}, from, 0, 0)
	if err != nil {
		return err
	}
	defer s.Close()
	d := wal.NewDecoder(wal.Format{Version: wal.PG15, SegmentSize: core.DefaultSegmentSize}, from, 0)
	records := 0
	for d.Pos() < to {
		b, err := s.Next()
		if err != nil {
			return err
		}
		if err := d.Feed(d.Pos(), b); err != nil {
			return err
		}
		for {
			_, ok, err := d.Next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			records++
		}
	}
	if records == 0 {
		return fmt.Errorf("no record from %s to %s", from, to)
	}
	return nil
}
