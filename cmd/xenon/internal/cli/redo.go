package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/redo/verify"
)

type redoCommand struct {
	Verify redoVerify `cmd:"" help:"Replay a corpus of WAL and compare with PostgreSQL's own pages."`
	Report redoReport `cmd:"" help:"Show a page that a server wrote and that redo makes differently."`
}

type redoVerify struct {
	Corpus string `required:"" placeholder:"DIR" help:"Directory with initial/, wal/ and maybe final/ and replayed/, as scripts/make-corpus makes it."`
}

func (c redoVerify) Run(g *Globals) error {
	r, err := verify.Corpus(os.DirFS(c.Corpus), verify.Options{
		Report:   func(m verify.Mismatch) { fmt.Fprintf(g.Stderr, "%v\n", m) },
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
