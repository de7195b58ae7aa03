package hookcost_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/internal/hookcost"
)

func TestWithout(t *testing.T) {
	out, hooks, err := hookcost.Without("x.go", []byte("package x\n\nfunc f() {\n\te.Trace().Note(\"a\", 1, 2, 3, 4)\n\tcore.Must(ok, \"b %d\", n)\n\tother()\n}\n"))
	if err != nil || len(hooks) != 2 || hooks[0].Text != "a" || hooks[1].Text != "b %d" {
		t.Errorf("%v, %v", hooks, err)
	}
	if strings.Count(string(out), "if false { ") != 2 || strings.Contains(string(out), "{ other") {
		t.Errorf("%s", out)
	}
}

const root = "../.."

// A record from a proposer to three safekeepers and back, and a page from the
// memory of a pageserver.
var benches = map[string]hookcost.Bench{
	"append":  {Package: "compute/proposer", Name: "BenchmarkCommit$", Times: 20_000},
	"getpage": {Package: "core/pageserver", Name: "BenchmarkGetPage$/memory,_chain_0,_batch_1$", Times: 2_000_000},
}

// TestHooksAreCompiledOut: the parts build without hooks, and what hooks say is
// in the executable with them and not in the one without.
func TestHooksAreCompiledOut(t *testing.T) {
	p, err := hookcost.Build(root, t.TempDir(), benches["append"])
	if err != nil {
		t.Fatal(err)
	}
	with, err := os.ReadFile(p.With)
	if err != nil {
		t.Fatal(err)
	}
	without, err := os.ReadFile(p.Without)
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, h := range p.Hooks {
		// Names of functions are in an executable as well, and some begin as
		// events do: what counts is how often a text is there.
		times := bytes.Count(with, []byte(h.Text))
		dir, err := filepath.Rel(top, filepath.Dir(h.Pos.Filename))
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Text) < 12 || times == 0 || !bytes.Contains(with, []byte("xenon/"+dir+".")) {
			continue // too common a text, or of another program
		}
		said++
		if bytes.Count(without, []byte(h.Text)) >= times {
			t.Errorf("%s: %q is still there", h.Pos, h.Text)
		}
	}
	t.Logf("%d hooks, %d of them looked for in this program", len(p.Hooks), said)
	if said < 20 {
		t.Errorf("only %d hooks of %d are in the executable that has them", said, len(p.Hooks))
	}
}

// BenchmarkHooks reports the processor time with hooks to that without: the
// median of neighbouring slices, and quartiles. An iteration is a pair of slices:
//
//	go test -run '^$' -bench Hooks -benchtime 31x ./internal/hookcost
func BenchmarkHooks(b *testing.B) {
	for _, name := range []string{"append", "getpage"} {
		p, err := hookcost.Build(root, b.TempDir(), benches[name])
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			ratios, err := p.Ratios(b.N)
			if err != nil {
				b.Fatal(err)
			}
			low, median, high := hookcost.Quartiles(ratios)
			b.ReportMetric(low, "lower-quartile")
			b.ReportMetric(median, "ratio")
			b.ReportMetric(high, "upper-quartile")
		})
	}
}
