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
	var changes, same []picture.Change
	add := func(only, text string) { changes = append(changes, picture.Change{Only: only, Text: text}) }
	for _, l := range ours {
		if slices.Contains(theirs, l) {
			same = append(same, picture.Change{Text: l})
		} else {
			add("this", l)
		}
	}
	for _, l := range theirs {
		if !slices.Contains(ours, l) {
			add("other", l)
		}
	}
	if at, this, other, differ := picture.Difference(r.rec, passing.rec); differ {
		add("", fmt.Sprintf("the two runs are the same up to %.6f s; then:", (at-r.Began).Seconds()))
		add("this", shorten(this))
		add("other", shorten(other))
	}
	add("", "the rest of the plan is that of both:")
	r.Picture.Changes = append(changes, same...)
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
