package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/redo/describe"
	"xenon/core/redo/verify"
	"xenon/core/wal"
)

type redoCommand struct {
	Verify redoVerify `cmd:"" help:"Replay a corpus of WAL and compare with PostgreSQL's own pages."`
	Page   redoPage   `cmd:"" help:"Show how a page came about, record by record."`
	Report redoReport `cmd:"" help:"Show a page that a server wrote and that redo makes differently."`
}

type redoVerify struct {
	Corpus  string `required:"" placeholder:"DIR" help:"Directory with initial/, wal/ and maybe final/ and replayed/, as scripts/make-corpus makes it."`
	Details int    `default:"3" help:"Mismatches of which both pages are shown; of the others a line."`
}

func (c redoVerify) Run(g *Globals) error {
	shown := 0
	r, err := verify.Corpus(os.DirFS(c.Corpus), verify.Options{
		Report: func(m verify.Mismatch) {
			if shown++; shown > c.Details {
				fmt.Fprintf(g.Stderr, "%v\n", m)
				return
			}
			showMismatch(g.Stderr, m)
		},
		Progress: func(n int64, at core.LSN) { fmt.Fprintf(g.Stderr, "%d records, at %s\n", n, at) },
	})
	if err != nil {
		return fmt.Errorf("corpus %s: %w", c.Corpus, err)
	}
	if err := g.Result(r, verifyText(r)); err != nil {
		return err
	}
	if r.Mismatches > 0 {
		return ExitError{1}
	}
	return nil
}

// showMismatch prints a mismatch with the record, the fields that differ, and
// the structure of both pages. What masks hide is among the fields: the first
// one that counts stands in the first line.
func showMismatch(w io.Writer, m verify.Mismatch) {
	fmt.Fprintf(w, "mismatch: %v\n", m)
	if m.Rec != nil {
		var d describe.Describer
		fmt.Fprintf(w, "record:   %s\n", d.Line(m.Rec))
	}
	if m.Got == nil || m.Want == nil {
		return
	}
	const fields = 12
	for _, d := range describe.Differences(m.Got, m.Want, m.Manager, fields) {
		fmt.Fprintf(w, "differs:  %s\n", d)
	}
	for _, side := range []struct {
		name string
		page *redo.Page
	}{{"redo", m.Got}, {"PostgreSQL", m.Want}} {
		fmt.Fprintf(w, "page by %s:\n%s", side.name, indent(structure(side.page, m.Manager, m.Rel, m.Block)))
	}
}

// structure describes a page: by what it says of itself, else as of a manager.
func structure(p *redo.Page, id wal.RmgrID, rel core.Rel, block uint32) string {
	if own, ok := redo.ManagerOf(p, block); ok && rel.Fork == core.MainFork {
		id = own
	}
	return describe.Page(p, id, rel.Fork)
}

func verifyText(r *verify.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "records %d\nredone %d\nadopted %d\nimages_compared %d\npages_compared %d\nmismatches %d\n",
		r.Records, r.Redone, r.Adopted, r.ImagesCompared, r.PagesCompared, r.Mismatches)
	b.WriteString(r.Table())
	for _, of := range []struct {
		title string
		by    map[string]int64
	}{{"not supported by ingest", r.UnsupportedBy}, {"mismatches", r.MismatchesBy}} {
		for _, name := range slices.Sorted(maps.Keys(of.by)) {
			fmt.Fprintf(&b, "%s: %s %d\n", of.title, name, of.by[name])
		}
	}
	return b.String()
}
