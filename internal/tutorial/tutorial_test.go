package tutorial_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"xenon/internal/tutorial"
)

var rewrite = flag.Bool("rewrite", false, "put what commands print now into the documents")

const root = "../.."

// TestDocuments runs every tutorial from a clean checkout's root on.
func TestDocuments(t *testing.T) {
	if os.Getenv("XENON_NO_SKIP") == "" && os.Getenv("XENON_FULL") == "" && !*rewrite {
		t.Skip("skipped: builds xenon with planted faults and runs a hundred seeds; ./check does, or XENON_FULL=1")
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "tutorial-*.md"))
	if err != nil || len(docs) == 0 {
		t.Fatalf("no tutorials: %v", err)
	}
	for _, name := range docs {
		t.Run(filepath.Base(name), func(t *testing.T) { play(t, name) })
	}
}

func play(t *testing.T, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	steps, err := tutorial.Parse(doc)
	if err != nil || len(steps) == 0 {
		t.Fatalf("%d commands: %v", len(steps), err)
	}
	var outputs []string
	for i := range steps {
		s := &steps[i]
		cmd := exec.CommandContext(t.Context(), "bash", "-c", s.Command)
		cmd.Dir = root
		out, _ := cmd.CombinedOutput() // a simulation that fails exits with 1, as it should
		outputs = append(outputs, string(out))
		if *rewrite {
			if strings.Contains(s.Command, "--seeds ") { // else a plan has the seed of its streams
				doc = reseed(doc, s.Output, string(out))
			}
			if steps, err = tutorial.Parse(doc); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := s.Compare(string(out)); err != nil {
			t.Fatalf("%s: %v\n(go test ./internal/tutorial -rewrite puts what is printed now into the document; read what it says then)", name, err)
		}
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(tutorial.Rewrite(doc, outputs)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var failed = regexp.MustCompile(`seed ([0-9]+) FAILED`)

// reseed follows a failure to the seed that shows it now: later commands name it.
func reseed(doc, before, now string) string {
	a, b := failed.FindStringSubmatch(before), failed.FindStringSubmatch(now)
	if a == nil || b == nil || a[1] == b[1] {
		return doc
	}
	return regexp.MustCompile(`(--seed |[Ss]eed |seed-)`+a[1]+`\b`).ReplaceAllString(doc, "${1}"+b[1])
}

const example = "text\n```console\n$ echo one\none\n$ printf 'took 3.5 s\\n' \\\n  && true\ntook <seconds> s\n```\nmore\n"

// TestCompare: a document that tells the truth passes, one that does not does
// not.
func TestCompare(t *testing.T) {
	steps, err := tutorial.Parse(example)
	if err != nil || len(steps) != 2 {
		t.Fatalf("%d steps: %v", len(steps), err)
	}
	for _, c := range []struct {
		step int
		got  string
		ok   bool
	}{
		{0, "one\n", true}, {0, "two\n", false}, {0, "one\nmore\n", false}, {0, "", false},
		{1, "took 3.5 s\n", true}, {1, "took 12 s\n", true}, {1, "took long s\n", false}, {1, "it took 3 s\n", false},
	} {
		if err := steps[c.step].Compare(c.got); (err == nil) != c.ok {
			t.Errorf("step %d printed %q: %v", c.step, c.got, err)
		}
	}
	if got := tutorial.Rewrite(example, []string{"two\n", ""}); !strings.Contains(got, "$ echo one\ntwo\n$ printf") || !strings.Contains(got, "true\n```\nmore\n") {
		t.Errorf("rewritten:\n%s", got)
	}
	if got := reseed("seed 7 FAILED\n$ sim --seed 7 --x 7\nSeed 77", "seed 7 FAILED", "seed 12 FAILED"); got != "seed 12 FAILED\n$ sim --seed 12 --x 7\nSeed 77" {
		t.Errorf("with another seed:\n%s", got)
	}
}
