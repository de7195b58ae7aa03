package simcmd

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"xenon/fuzz"
	"xenon/fuzz/report"
)

// Files are where a run is shown; an empty name is none.
type Files struct {
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
