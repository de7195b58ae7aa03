package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"xenon/fuzz"
	"xenon/linearizability"
	"xenon/netsim"
	"xenon/netsim/picture"
)

// A Run is a run that was recorded.
type Run struct {
	*fuzz.Result
	Picture *picture.Picture
	rec     *picture.Recorder
	reader  *reader
}

// Record runs o once more, and records it. What a plan does is the same every
// time, so that this is the run that failed.
func Record(o fuzz.Options) *Run {
	r := &Run{reader: newReader()}
	r.rec = picture.New(r.reader)
	r.reader.rec = r.rec
	o.Record = r.rec.Record
	r.Result = fuzz.Run(o)
	r.finish()
	return r
}

// finish makes the picture.
func (r *Run) finish() {
	p := r.rec.Picture(r.Elapsed, r.failedAt(), r.wrongAt(), picture.DefaultLimits)
	r.Picture = p
	p.Title = fmt.Sprintf("xenon sim, seed %d", r.Seed)
	p.Unit = "LSN"
	p.Began, p.Failed = r.Began, r.Err != nil
	if p.Verdict = "passed"; p.Failed {
		p.Verdict = "FAILED: " + r.Oracle()
	}
	for i := range p.Lanes {
		p.Lanes[i].Rank, p.Lanes[i].Aside = rank(p.Lanes[i].Name)
	}
	for i := range p.Series {
		p.Series[i].Group = r.branchOf(p.Series[i].Group)
	}
	r.calls(p)
	p.Story = r.Story()
	for i, l := range p.Lanes {
		if last := p.Story[len(p.Story)-1]; p.Failed && named(p.Story[max(0, len(p.Story)-2)].Text+last.Text, l.Name) {
			p.Wrong = append(p.Wrong, i)
		}
	}
	r.pages(p)
}

// named tells whether a sentence is about a process.
func named(text, process string) bool {
	return slices.Contains(strings.FieldsFunc(text, func(c rune) bool { return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9') }), process)
}

// failedAt is when the run was stopped.
func (r *Run) failedAt() time.Duration {
	var f *netsim.Failure
	switch {
	case r.Err == nil:
		return picture.Never
	case errors.As(r.Err, &f):
		return f.At
	}
	return r.Elapsed
}

// wrongAt is when the first wrong fact was, where that is not when the run was
// stopped: a history is judged at the end.
func (r *Run) wrongAt() time.Duration {
	var l *linearizability.Violation
	if errors.As(r.Err, &l) {
		if c, ok := l.Unexplained(); ok {
			return time.Duration(c.From)
		}
	}
	return r.failedAt()
}

// branchOf finds the branch of a timeline by its tag in words.
func (r *Run) branchOf(group string) string {
	for _, t := range r.Timelines {
		if groupOf(t.Tag) == group {
			return t.Branch
		}
	}
	return group
}

// rank is where a lane goes, and whether it is nobody's main interest.
func rank(name string) (int, bool) {
	switch role(name) {
	case "compute":
		return 0, false
	case "sk":
		return 1, false
	case "ps":
		return 2, false
	case "bucket":
		return 3, false
	}
	return 4, true
}

// calls are those of all clients.
func (r *Run) calls(p *picture.Picture) {
	var all []picture.Call
	for _, w := range r.Witnesses {
		for c := range w.History.Calls() {
			call := picture.Call{From: time.Duration(c.From), To: picture.Never, Client: c.Client, Group: w.Branch, Text: c.Text, Key: c.Key, Outcome: c.Outcome}
			if c.Ended {
				call.To = time.Duration(c.To)
			}
			all = append(all, call)
		}
	}
	slices.SortStableFunc(all, func(a, b picture.Call) int { return cmp.Compare(a.From, b.From) })
	r.rec.Calls(p, all, picture.DefaultLimits.Calls)
}

// pages are the texts that belong to the run.
func (r *Run) pages(p *picture.Picture) {
	var b strings.Builder
	r.Plan.WriteTo(&b)
	p.Pages = append(p.Pages, picture.Page{Name: "Plan", Text: b.String()})
	if r.Err != nil {
		p.Pages = append(p.Pages, picture.Page{Name: "Error", Text: shorten(r.Err.Error())})
	}
	var f *netsim.Failure
	if errors.As(r.Err, &f) && len(f.Parked) > 0 {
		p.Pages = append(p.Pages, picture.Page{Name: "Parked tasks", Text: parked(f.Parked)})
	}
	var v *linearizability.Violation
	if errors.As(r.Err, &v) {
		b.Reset()
		for _, band := range p.Bands {
			if band.Struck && band.Kind != "cut" {
				v.Annotate(band.Kind, band.Text, int64(band.From), int64(band.To))
			}
		}
		for _, e := range r.reader.elected {
			v.Annotate("elections", fmt.Sprintf("%s leads term %d", e.who, e.term), e.at, e.at)
		}
		if err := v.Report(&b); err == nil {
			p.Pages = append(p.Pages, picture.Page{Name: "Linearizability", Text: b.String(), HTML: true})
		}
	}
}

// parked tells what every task waits for, those with most to tell first: what
// waits in the program's own code.
func parked(list []netsim.Parked) string {
	var b strings.Builder
	for _, p := range list {
		paused := ""
		if p.Paused {
			paused = " (its process stands still)"
		}
		fmt.Fprintf(&b, "%s: task %d %s waits for: %s%s\n%s\n", p.Proc, p.ID, p.Task, p.Reason, paused, frames(p.Stack))
	}
	return b.String()
}

// frames leaves out of a stack what every parked task has in common: the way
// into the scheduler and out of the coroutine.
func frames(stack []byte) string {
	lines := strings.Split(strings.TrimSpace(string(stack)), "\n")
	var out []string
	for i := 0; i+1 < len(lines); i += 2 {
		call := lines[i]
		if strings.HasPrefix(call, "runtime") || strings.HasPrefix(call, "iter.") || strings.HasPrefix(call, "xenon/netsim.") || strings.HasPrefix(call, "xenon/core/xsync.park") {
			continue
		}
		if at := strings.IndexByte(call, '('); at > 0 && strings.HasSuffix(call, ")") && !strings.Contains(call, ".(*") {
			call = call[:at]
		}
		place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		out = append(out, "    "+call+"\n        "+place)
	}
	return strings.Join(out, "\n") + "\n"
}

// HTML writes the page of a run, with a passing one beside it unless that is
// nil.
func HTML(w io.Writer, r, passing *Run) error {
	if passing == nil {
		return picture.Write(w, r.Picture, nil)
	}
	r.compare(passing)
	return picture.Write(w, r.Picture, passing.Picture)
}

// Perfetto writes the run as a trace.
func Perfetto(w io.Writer, r *Run) error { return picture.WritePerfetto(w, r.Picture) }
