package simcmd

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"xenon/fuzz"
	"xenon/fuzz/report"
)

// Files are where a run is shown; an empty name is none.
type Files struct {
	Plan     string // the plan, as --plan takes it
	Report   string // one HTML file
	Perfetto string // a trace for ui.perfetto.dev
}

// Show runs a plan once more while it is recorded, writes what is asked for,
// and returns the story of the run.
func Show(o Options, p *fuzz.Plan, to Files) (story string, err error) {
	if o.Mutant != "" {
		undo, err := plant(o.Mutant)
		if err != nil {
			return "", err
		}
		defer undo()
	}
	if to.Plan != "" {
		err := write(to.Plan, func(w io.Writer) error {
			_, err := p.WriteTo(w)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	run := report.Record(fuzz.Options{Plan: p})
	if to.Report != "" {
		err := write(to.Report, func(w io.Writer) error { return report.HTML(w, run, passing(run)) })
		if err != nil {
			return "", err
		}
	}
	if to.Perfetto != "" {
		if err := write(to.Perfetto, func(w io.Writer) error { return report.Perfetto(w, run) }); err != nil {
			return "", err
		}
	}
	return run.Text(), nil
}

// Failure is a failed run in few lines: what it failed by, how to see it again,
// the hash of all its events, and its plan unless that is in a file. What
// happened in it is a matter of [Show].
func Failure(o Options, r *fuzz.Result, in Files) string {
	if in.Plan != "" { // it may have been made smaller, and no seed draws it then
		o.Plan, o.File = r.Plan, in.Plan
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d FAILED: %s\n  again: %s\n  hash %016x after %d steps\n", r.Seed, r.Oracle(), Replay(o, r.Seed), r.Hash, r.Steps)
	if o.Plan == nil {
		b.WriteString("plan:\n")
		r.Plan.WriteTo(&b)
	}
	return b.String()
}

// Brief is the summary of one run: what it came to is told by its story.
func (s *Summary) Brief() string {
	return fmt.Sprintf("%d failed of %d: %.1f simulated seconds, %d steps, %d elections, %d writes, %d reads\n",
		s.Failures, s.Seeds, s.SimSeconds, s.Steps, s.Elections, s.Writes, s.Reads)
}

// searched is how many runs it may take to find one that passes.
const searched = 100

// passing is the nearest run that does not fail, to be shown beside one that
// does; nil if there is none.
func passing(run *report.Run) *report.Run {
	if run.Err == nil {
		return nil
	}
	return report.Passing(run, searched)
}

func write(name string, f func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	w := bufio.NewWriter(file)
	if err := f(w); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := w.Flush(); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	return file.Close()
}
