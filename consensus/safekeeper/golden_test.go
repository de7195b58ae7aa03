package safekeeper_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"xenon/consensus/safekeeper"
	"xenon/core"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/disk.txt anew")

// The order of disk operations is what durability rests on. A forgotten sync
// shows as a missing line.
func TestDiskOrder(t *testing.T) {
	disk := newDisk(1)
	r := start(t, disk, safekeeper.Limits{})
	var out strings.Builder
	section := func(name string, f func()) {
		disk.StartLog()
		f()
		out.WriteString("# " + name + "\n")
		for line := range strings.Lines(disk.LogText()) {
			if strings.Contains(line, "/spare.tmp") {
				continue // made by a task of its own: not in order
			}
			out.WriteString(strings.ReplaceAll(strings.ReplaceAll(line, dir, "TL"), tenantDir, "TENANT"))
		}
		out.WriteString("\n")
	}
	var p *proposer
	section("create a timeline", r.mustCreate)
	section("vote", func() { p = r.push(); p.greet(); p.vote(1) })
	at := startAt
	section("elected, and an empty append that says it has arrived", func() {
		p.elect(1, at, historyOf(1, at, 2, at)[:1])
		if _, err := p.append(1, at, nil, 0); err != nil {
			t.Fatal(err)
		}
	})
	w := newWAL(at, 0)
	one := func(n, size int) { at = appendRecords(t, p, w, n, size) }
	section("an append", func() { one(1, 100) })
	section("the first commit of the term", func() { p.append(1, at, nil, at) })
	fork := at
	section("an append beyond a quarter of the segment, once its spare is made", func() {
		for at < startAt+segSize/3 {
			one(1, 100_000)
		}
		waitFor(t, func() bool { return strings.Contains(disk.LogText(), "rename "+dir+"/spare.tmp") })
		disk.StartLog()
		one(1, 100)
	})
	section("an append over the end of the segment", func() {
		for at < 2*segSize {
			disk.StartLog()
			one(1, 100_000)
		}
	})
	section("elected in a later term, which cuts that back", func() {
		p = r.push()
		p.greet()
		p.vote(2)
		disk.StartLog()
		p.elect(2, fork, historyOf(1, startAt, 2, fork))
		if resp, err := p.append(2, fork, nil, 0); err != nil || resp.Flush != fork {
			t.Errorf("%+v, %v", resp, err)
		}
	})
	const file = "testdata/disk.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("disk operations differ from %s (-rewrite writes it anew):\n%s", file, out.String())
	}
}

func appendRecords(t *testing.T, p *proposer, w *walMaker, n, size int) core.LSN {
	t.Helper()
	if err := pourOne(p, 1, w.enc.Pos(), w.records(n, size)); err != nil {
		t.Fatal(err)
	}
	return w.enc.Pos()
}
