package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
	"xenon/core/wire"
	"xenon/realio"
)

// timelineFile is a file of a timeline on a safekeeper.
func (in *installation) timelineFile(safekeeper int, b ctl.Branch, name string) string {
	return filepath.Join(in.dir, fmt.Sprintf("safekeeper-%d", safekeeper), "timelines", b.Tenant.String(), b.Timeline.String(), name)
}

// halt stops the installation.
func (in *installation) halt() {
	in.t.Helper()
	in.signal(syscall.SIGTERM)
	in.await()
}

// TestDamagedControlFile changes a byte in one safekeeper's control file. The
// safekeeper names the file and takes no part; the others carry on.
func TestDamagedControlFile(t *testing.T) {
	in := install(t)
	b := in.branch("main")
	in.psql("main", "CREATE TABLE t AS SELECT 1 AS n")
	in.halt()
	file := in.timelineFile(1, b, "control")
	spoil(t, file, 40)
	in.start()
	if got := in.psql("main", "INSERT INTO t VALUES (2)", "SELECT sum(n) FROM t"); got != "3" {
		t.Errorf("with two safekeepers: %s", got)
	}
	notes := strings.Join(in.status().Notes, "\n")
	for _, want := range []string{"safekeeper 1", "control", "corrupt"} {
		if !strings.Contains(notes, want) {
			t.Errorf("status notes %q, want %q in it", notes, want)
		}
	}
	// Whole again, it takes part again.
	in.halt()
	spoil(t, file, 40)
	in.start()
	in.psql("main", "INSERT INTO t VALUES (3)")
	eventually(t, "three safekeepers with the same WAL", func() bool {
		s := in.status()
		return len(s.Notes) == 0 && s.Safekeepers[0].Timelines[0].FlushLSN == s.Safekeepers[1].Timelines[0].FlushLSN
	})
}

// TestDamagedWAL changes a byte of committed WAL, first on one safekeeper and
// then on all: a page is either right or not served, and the status names the
// place.
func TestDamagedWAL(t *testing.T) {
	in := install(t)
	b := in.branch("main")
	in.psql("main", "CREATE TABLE t AS SELECT generate_series(1, 20000) AS n", "CHECKPOINT")
	in.halt()
	segment := core.SegmentName(1, b.StartLSN.Segment(core.DefaultSegmentSize), core.DefaultSegmentSize)
	at := int64(b.StartLSN.SegmentOffset(core.DefaultSegmentSize)) + 500_000
	damage := func(ids ...int) {
		for _, id := range ids {
			file := in.timelineFile(id, b, segment)
			if _, err := os.Stat(file); err != nil {
				file += ".partial"
			}
			spoil(t, file, at)
		}
	}
	damage(2)
	in.start()
	if got := in.psql("main", "SELECT count(*), sum(n) FROM t"); got != "20000|200010000" {
		t.Errorf("with damage on one of three: %s", got)
	}
	in.halt()
	damage(1, 3)
	started := make(chan error, 1)
	go func() { started <- in.tryStart() }()
	eventually(t, "a note that names the damaged WAL", func() bool {
		out, err := in.xenon("status")
		return err == nil && strings.Contains(out, "pageserver 1") && (strings.Contains(out, "checksum") || strings.Contains(out, "CRC") || strings.Contains(out, "corrupt"))
	})
	if _, err := in.xenon("stop"); err != nil {
		t.Error(err)
	}
	if err := <-started; err == nil {
		t.Error("a server started on WAL that is damaged everywhere")
	}
	damage(1, 2, 3)
	in.start()
	if got := in.psql("main", "SELECT count(*), sum(n) FROM t"); got != "20000|200010000" {
		t.Errorf("whole again: %s", got)
	}
}

// pagesAt reads every page of the relations, in order; one that is refused is
// nil, with its error.
func pagesAt(t *testing.T, addr string, b ctl.Branch, rels []core.Rel, blocks []int) (pages [][]byte, refused []string) {
	t.Helper()
	e := realio.New(realio.Options{})
	defer e.Close()
	c, err := wire.Connect(context.Background(), e, addr, wire.ClientConfig{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", b.Tenant, b.Timeline)); err != nil {
		t.Fatal(err)
	}
	for i, rel := range rels {
		for blk := range blocks[i] {
			req := wire.PageRequest{Kind: wire.PageGet, LSN: b.StartLSN, NotModifiedSince: b.StartLSN, Rel: rel, Block: uint32(blk)}
			c.CopyData(req.Append(nil), nil)
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			answer, err := c.ReadCopy()
			if err != nil {
				t.Fatal(err)
			}
			reply, err := wire.DecodePageReply(answer)
			if err != nil {
				t.Fatal(err)
			}
			if reply.Request.Kind == wire.PageError {
				pages, refused = append(pages, nil), append(refused, reply.Message)
				continue
			}
			pages = append(pages, bytes.Clone(reply.Pages))
		}
	}
	return pages, refused
}

// TestDamagedLayer changes one byte in the middle of a base layer: every page
// is the right one or an error that names the layer.
func TestDamagedLayer(t *testing.T) {
	in := install(t, "--processes")
	b := in.branch("main")
	var rels []core.Rel
	var blocks []int
	for line := range strings.Lines(in.psql("main", "SELECT pg_relation_filenode(oid), pg_relation_size(oid) / 8192 FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL AND NOT relisshared AND oid < 16384")) {
		node, n, _ := strings.Cut(strings.TrimSpace(line), "|")
		number, err := strconv.ParseUint(node, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		count, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		rels, blocks = append(rels, core.Rel{Spc: core.DefaultTablespace, DB: 5, Node: core.OID(number)}), append(blocks, count)
	}
	addr := in.status().Pageservers[0].Listen
	want, refused := pagesAt(t, addr, b, rels, blocks)
	if len(want) < 500 || len(refused) > 0 {
		t.Fatalf("%d pages, refused: %v", len(want), refused)
	}
	in.halt()
	damaged := in.spoilLargestLayer()
	// The pageserver has copies on its disk, from which it would answer.
	copies, err := filepath.Glob(filepath.Join(in.dir, "pageserver-1", "tenants", "*", "timelines", "*", "base-*"))
	if err != nil || len(copies) == 0 {
		t.Fatalf("no copies of base layers: %v", err)
	}
	for _, c := range copies {
		if err := os.Remove(c); err != nil {
			t.Fatal(err)
		}
	}
	pageserver := exec.Command(bin(t), "run", "pageserver", "--config", filepath.Join(in.dir, "conf", "pageserver-1.toml"))
	if err := pageserver.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		pageserver.Process.Signal(syscall.SIGTERM)
		pageserver.Wait()
	}()
	eventually(t, "the pageserver", func() bool {
		e := realio.New(realio.Options{})
		defer e.Close()
		c, err := wire.Connect(context.Background(), e, addr, wire.ClientConfig{Timeout: time.Second})
		if err != nil {
			return false
		}
		defer c.Close()
		return c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", b.Tenant, b.Timeline)) == nil
	})
	got, refused := pagesAt(t, addr, b, rels, blocks)
	for i := range got {
		if got[i] != nil && !bytes.Equal(got[i], want[i]) {
			t.Errorf("page %d of %d is wrong", i, len(got))
		}
	}
	t.Logf("%d of %d pages are refused: %.200s", len(refused), len(got), strings.Join(refused, "; "))
	if len(refused) == 0 {
		t.Fatalf("no page shows that %s is damaged", damaged)
	}
	for _, r := range refused {
		if !strings.Contains(r, "layer ") || !strings.Contains(r, "corrupt") {
			t.Errorf("a refusal says %q, want the layer and what is wrong", r)
		}
	}
}

// spoilLargestLayer changes a byte in the middle of the largest layer of the
// object store.
func (in *installation) spoilLargestLayer() (name string) {
	in.t.Helper()
	var size int64
	err := filepath.WalkDir(filepath.Join(in.dir, "objects"), func(file string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && !d.IsDir() && strings.Contains(file, "/layers/") && info.Size() > size {
			name, size = file, info.Size()
		}
		return nil
	})
	if err != nil || size < 1<<20 {
		in.t.Fatalf("largest layer %s of %d bytes, %v", name, size, err)
	}
	spoil(in.t, name, size*3/4)
	return name
}
