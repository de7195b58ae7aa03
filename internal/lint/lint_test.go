package lint_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xenon/internal/lint"
	"xenon/internal/lint/driver"
	"xenon/internal/lint/simsafe"
)

// root is the module's directory, seen from this package.
const root = "../.."

func readTree(t *testing.T, dir string) []*lint.File {
	t.Helper()
	files, err := lint.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestImports(t *testing.T) {
	for _, f := range lint.Imports(readTree(t, root)) {
		t.Error(f)
	}
}

func TestSource(t *testing.T) {
	files := readTree(t, root)
	if len(files) < 100 {
		t.Fatalf("only %d Go files below %s", len(files), root)
	}
	for _, f := range lint.Source(files) {
		t.Error(f)
	}
}

// TestDeterminism also lists what is allowed by comment: each is a place where
// a reader, not the analyzer, is sure.
func TestDeterminism(t *testing.T) {
	var patterns []string
	for _, top := range []string{"core", "consensus", "compute", "netsim", "diskdrv", "fuzz", "linearizability", "serializability"} {
		if _, err := os.Stat(filepath.Join(root, top)); err == nil {
			patterns = append(patterns, "./"+top+"/...")
		}
	}
	pkgs, err := driver.Load(root, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	allowed := 0
	for _, p := range pkgs {
		found, err := p.Run(simsafe.Analyzer)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			t.Error(f)
		}
		for _, f := range p.Files {
			for _, group := range f.Comments {
				for _, c := range group.List {
					if why, ok := strings.CutPrefix(c.Text, simsafe.AllowPrefix); ok {
						allowed++
						t.Logf("%s: allowed:%s", p.Fset.Position(c.Pos()), why)
					}
				}
			}
		}
	}
	t.Logf("%d packages, %d places allowed by comment", len(pkgs), allowed)
}

// The trees in testdata break every rule; what is found there, and nothing
// else, stands in a file beside them.
func TestRulesFire(t *testing.T) {
	files := readTree(t, "testdata/tree")
	var got []string
	for _, f := range append(lint.Imports(files), lint.Source(files)...) {
		got = append(got, f.String())
	}
	b, err := os.ReadFile("testdata/tree.findings")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not found: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("not wanted: %s", g)
		}
	}
}
