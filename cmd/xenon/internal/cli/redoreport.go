package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"xenon/compute/crosscheck"
	"xenon/core"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
	"xenon/core/redo/describe"
	"xenon/core/wal"
)

type redoReport struct {
	Dir   string `arg:"" placeholder:"DIR" help:"A report, or the directory of an endpoint's reports (xenon status names it)."`
	Pages bool   `help:"Show both pages in full."`
}

func (redoReport) Help() string {
	return "Shows pages that PostgreSQL wrote and that redo makes differently: every field that differs, and the records that the page is made of, each with the differences that are left behind it. With a directory of reports, a line of each."
}

// A shownReport is a report with what is beside it.
type shownReport struct {
	Path string `json:"path"`
	*crosscheck.Report
	Differences []describe.Difference `json:"differences,omitempty"`
	Steps       []reportStep          `json:"steps,omitempty"`
	Failed      string                `json:"replay_failed,omitempty"` // why, if the records cannot be replayed

	written, rebuilt *redo.Page
}

// A reportStep is a version of the page as it is made.
type reportStep struct {
	Start core.LSN `json:"start,omitzero"`
	LSN   core.LSN `json:"lsn"`
	What  string   `json:"what"`
	// Differ is in how many fields the page differs from the one that PostgreSQL
	// wrote once this step is done.
	Differ int `json:"differ"`
}

func (c redoReport) Run(g *Globals) error {
	if _, err := os.Stat(filepath.Join(c.Dir, crosscheck.ReportFile)); errors.Is(err, fs.ErrNotExist) {
		return c.list(g)
	}
	s, err := loadReport(c.Dir)
	if err != nil {
		return err
	}
	return g.Result(s, s.text(c.Pages))
}

// list shows a line of each report in a directory.
func (c redoReport) list(g *Globals) error {
	names, err := os.ReadDir(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such directory: xenon status names those of endpoints, which are made with the first mismatch", c.Dir)
	}
	if err != nil {
		return err
	}
	all := []*crosscheck.Report{}
	var b strings.Builder
	for _, n := range names {
		dir := filepath.Join(c.Dir, n.Name())
		r, err := readReport(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Fprintf(&b, "%s: not complete\n", dir)
		case err != nil:
			return err
		default:
			all = append(all, r)
			fmt.Fprintf(&b, "%s: block %d of %s as of %s: %s\n", dir, r.Block, core.Rel(r.Rel), r.LSN, r.Difference)
		}
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "no reports in %s\n", c.Dir)
	}
	return g.Result(map[string]any{"reports": all}, b.String())
}

func readReport(dir string) (*crosscheck.Report, error) {
	name := filepath.Join(dir, crosscheck.ReportFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r, err := crosscheck.ParseReport(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// loadReport reads a report and replays its records.
func loadReport(dir string) (*shownReport, error) {
	r, err := readReport(dir)
	if err != nil {
		return nil, err
	}
	s := &shownReport{Path: dir, Report: r}
	if s.written, err = readPage(filepath.Join(dir, crosscheck.WrittenFile)); err != nil {
		return nil, err
	}
	// The pageserver may have made no page, and not have said of what.
	if s.rebuilt, err = readPage(filepath.Join(dir, crosscheck.RebuiltFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.rebuilt != nil {
		s.Differences = s.differences(s.rebuilt)
	}
	b, err := os.ReadFile(filepath.Join(dir, crosscheck.ChainFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	chain, err := pagechain.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, crosscheck.ChainFile), err)
	}
	s.replay(chain)
	return s, nil
}

func readPage(name string) (*redo.Page, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(b) != core.PageSize {
		return nil, fmt.Errorf("%s: %d bytes are no page", name, len(b))
	}
	return (*redo.Page)(b), nil
}

// manager is whose page it is; an unknown one's is described as of a generic
// record.
func (s *shownReport) manager() wal.RmgrID {
	if id, ok := redo.ManagerOf(s.written, s.Block); ok {
		return id
	}
	return wal.RmgrGeneric
}

// differences are the fields in which a page differs from the one written, but
// for those that may.
func (s *shownReport) differences(p *redo.Page) []describe.Difference {
	got, want, id := *p, *s.written, s.manager()
	redo.MaskWritten(&got, id, s.Block)
	redo.MaskWritten(&want, id, s.Block)
	if g, w := redo.PageLSN(p), redo.PageLSN(s.written); g != w {
		redo.SetPageLSN(&got, g)
		redo.SetPageLSN(&want, w)
	}
	return describe.Differences(&got, &want, id, 0)
}

// replay follows the records.
func (s *shownReport) replay(chain *pagechain.Chain) {
	var d describe.Describer
	_, err := chain.Replay(func(_ int, v *pagechain.Version, rec *wal.Record, page *redo.Page) {
		step := reportStep{Start: v.Start, LSN: v.LSN, What: string(v.Kind), Differ: len(s.differences(page))}
		if rec != nil {
			step.What = string(d.Line(rec))
		}
		s.Steps = append(s.Steps, step)
	})
	if err != nil {
		s.Failed = err.Error()
	}
}

func (s *shownReport) text(pages bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "block %d of %s, a page of %s, as of %s\n", s.Block, core.Rel(s.Rel), s.manager(), s.LSN)
	fmt.Fprintf(&b, "branch %s, tenant %s, timeline %s\n", s.Branch, s.Tenant, s.Timeline)
	fmt.Fprintf(&b, "written at %s by a server that started at %s, when WAL was committed up to %s\n", s.Time.Format("2006-01-02T15:04:05Z07:00"), s.StartLSN, s.CommitLSN)
	fmt.Fprintf(&b, "difference: %s\n", s.Difference)
	if s.rebuilt == nil {
		b.WriteString("\nthe pageserver made no such page\n")
	} else {
		b.WriteString("\nwhat differs (got is of redo, want of PostgreSQL):\n")
		for _, d := range s.Differences {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	if len(s.Steps) > 0 || s.Failed != "" {
		b.WriteString("\nwhat the page is made of (fields that differ from the one written after each):\n")
		for _, step := range s.Steps {
			fmt.Fprintf(&b, "  %4d  %s  %s\n", step.Differ, step.LSN, step.What)
		}
		if s.Failed != "" {
			fmt.Fprintf(&b, "  %s\n", s.Failed)
		}
	}
	if pages {
		for _, p := range []struct {
			who  string
			page *redo.Page
		}{{"redo", s.rebuilt}, {"PostgreSQL", s.written}} {
			if p.page != nil {
				fmt.Fprintf(&b, "\nthe page of %s:\n%s", p.who, indent(describe.Page(p.page, s.manager(), s.Rel.Fork)))
			}
		}
	}
	return b.String()
}

// indent puts two spaces before each line.
func indent(text string) string {
	lines := slices.Collect(strings.Lines(text))
	return "  " + strings.Join(lines, "  ")
}
