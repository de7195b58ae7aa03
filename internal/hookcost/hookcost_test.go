package hookcost

import (
	"os"
	"strings"
	"testing"
)

func TestWithout(t *testing.T) {
	out, n, err := Without("x.go", []byte("package x\n\nfunc f() {\n\te.Trace().Note(\"a\", 1, 2, 3, 4)\n\tcore.Must(ok, \"b %d\", n)\n\tother()\n}\n"))
	if err != nil || n != 2 || strings.Count(string(out), "if false { ") != 2 || strings.Contains(string(out), "{ other") {
		t.Errorf("%d places, %v:\n%s", n, err, out)
	}
}

// The benchmarks: WAL from a proposer to three safekeepers and back,
// and pages from memory.
var benches = []Bench{
	{"compute/proposer", "BenchmarkCommit$", 10_000, []string{"consensus", "consensus/safekeeper", "compute/proposer", "core/wal"}},
	{"core/pageserver", "BenchmarkGetPage$/memory,_chain_0,_batch_1$", 200_000, []string{"core/pageserver", "core/layer", "core/redo"}},
}

// TestHooksCostNothing measures; ratios are printed, and one percent more than
// the noise of the same run fails.
func TestHooksCostNothing(t *testing.T) {
	if os.Getenv("XENON_FULL") == "" {
		t.Skip("minutes of benchmarks: only with XENON_FULL=1")
	}
	for _, b := range benches {
		c, err := Measure("../..", t.TempDir(), b, 11)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s: %d places; with hooks to without: median %.3f of %.3f", b.Package, b.Name, c.Places, c.Median(), c.Ratios)
		if c.Median() > 1.05 { // the noise of a shared machine included
			t.Errorf("%s: hooks cost %.1f %%", b.Name, 100*(c.Median()-1))
		}
	}
}
