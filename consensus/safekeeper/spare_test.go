package safekeeper_test

import (
	"strings"
	"testing"

	"xenon/consensus/safekeeper"
	"xenon/core"
)

// TestSpareOfABranch: a branch that begins late in a segment makes the next one
// when a quarter of what was left is written, and not with its first record:
// then every safekeeper would write a segment of zeroes while a server starts.
func TestSpareOfABranch(t *testing.T) {
	disk := newDisk(1)
	r := start(t, disk, safekeeper.Limits{})
	begin := startAt + segSize/2
	if err := r.create(begin, nil); err != nil {
		t.Fatal(err)
	}
	p := r.push()
	if got := p.lead(1); got != begin {
		t.Fatalf("a branch at %s begins at %s", begin, got)
	}
	w := newWAL(begin, 0)
	asked := func() bool { return strings.Contains(disk.LogText(), "/spare.tmp") }
	write := func(term core.Term, end core.LSN) {
		for w.enc.Pos() < end {
			if err := pourOne(p, term, w.enc.Pos(), w.records(1, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	disk.StartLog()
	write(1, begin+segSize/10)
	if r.stop(); asked() { // which waits for the tasks
		t.Error("a spare segment is made long before it is needed")
	}
	disk.Killed()
	r = start(t, disk, safekeeper.Limits{})
	p = r.push()
	p.lead(2)
	write(2, begin+segSize/7)
	waitFor(t, asked)
}
