package report

import (
	"fmt"
	"slices"
	"strings"

	"xenon/netsim/picture"
)

// compare adds to the pictures of two runs what they have apart: lines of their
// plans, and the first thing that went differently.
func (r *Run) compare(passing *Run) {
	ours, theirs := planLines(r), planLines(passing)
	var changes []picture.Change
	for _, l := range ours {
		if slices.Contains(theirs, l) {
			changes = append(changes, picture.Change{Text: l})
		} else {
			changes = append(changes, picture.Change{Only: "this", Text: l})
		}
	}
	for _, l := range theirs {
		if !slices.Contains(ours, l) {
			changes = append(changes, picture.Change{Only: "other", Text: l})
		}
	}
	if at, this, other, differ := picture.Difference(r.rec, passing.rec); differ {
		changes = append(changes,
			picture.Change{Text: fmt.Sprintf("the two runs are the same up to %.6f s; then:", (at - r.Began).Seconds())},
			picture.Change{Only: "this", Text: shorten(this)}, picture.Change{Only: "other", Text: shorten(other)})
	}
	r.Picture.Changes = changes
}

// planLines is the plan, a line for each thing in it.
func planLines(r *Run) []string {
	var b strings.Builder
	r.Plan.WriteTo(&b)
	var lines []string
	for l := range strings.SplitSeq(b.String(), "\n") {
		if l = strings.Trim(l, " ,"); len(l) > 1 {
			lines = append(lines, l)
		}
	}
	return lines
}
