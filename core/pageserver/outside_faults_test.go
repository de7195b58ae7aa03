//go:build faults

package pageserver_test

import (
	"testing"

	"xenon/core/faults"
)

// TestOutsideCatches plants wrong lines into what is kept beside pages.
func TestOutsideCatches(t *testing.T) {
	w := newWorld(t)
	for name, p := range map[string]faults.Point{
		"a tablespace is forgotten":        faults.SpaceForgotten,
		"progress of origins is not kept":  faults.RedoOriginStays,
		"a branch adopts the state of now": faults.BranchAdoptsNow,
	} {
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			if diffs := differencesOutside(t, w, 1); len(diffs) == 0 {
				t.Error("no difference")
			}
		})
	}
}

// TestChecksumsCatch: a page with the checksum of another block is seen.
func TestChecksumsCatch(t *testing.T) {
	s := needPostgres(t)
	s.initdb("sums", "-k")
	tl, im := importAndOpen(t, s.path("sums"))
	sameFiles(t, tl, im.Index.LSN, s.path("sums"))
	defer faults.Plant(faults.SealAnyBlock)()
	r := &recorder{TB: t}
	sameFiles(r, tl, im.Index.LSN, s.path("sums"))
	if r.n == 0 {
		t.Error("no difference")
	}
}
