//go:build faults

package fuzz_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/core/faults"
	"xenon/fuzz"
)

// A tableRow is what the table says of one mutant.
type tableRow struct {
	point, name, text string
	tests             []string // package.Test that plants it
	rapid             bool     // one of them draws its steps with rapid
	seed              uint64   // of a run that finds it
	oracle            string
	took              time.Duration // CPU of the runs up to it
}

const mutantTable = "../docs/mutants.md"

// TestMutantTable writes docs/mutants.md when XENON_MUTANTS is set: every mutant
// that there is, and which tests plant it; and, for those that runs are known to
// find, the seed. With XENON_MUTANTS=run the seeds are looked for anew, and the
// test fails for each mutant that nothing finds.
func TestMutantTable(t *testing.T) {
	rows := pointsOf(t)
	planted(t, rows)
	for _, c := range corpus(t) {
		for _, r := range rows {
			if r.name == c.mutant {
				r.tests = append(r.tests, "fuzz/testdata/corpus/"+c.name)
			}
		}
	}
	mode, known := os.Getenv("XENON_MUTANTS"), timesOf(t)
	for _, m := range mutants {
		i := slices.IndexFunc(rows, func(r *tableRow) bool { p, ok := faults.ByName(r.name); return ok && p == m.point })
		if i < 0 {
			t.Fatalf("point %d has no line in core/faults/point.go", m.point)
		}
		r := rows[i]
		r.seed, r.oracle = m.found, string(m.oracles[0])
		if mode == "run" {
			r.find(t, m)
		} else {
			r.took = known[r.name]
		}
	}
	for _, r := range rows {
		if len(r.tests) == 0 && r.seed == 0 && argued[r.name] == "" {
			t.Logf("%s (%s) is found by no test and no run", r.name, r.point)
			if mode == "run" {
				t.Fail()
			}
		}
	}
	if mode != "" {
		if err := os.WriteFile(mutantTable, mutantTableOf(rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var timedLine = regexp.MustCompile(`(?m)^\| (\w+) \| .*? \| [^|]*, ([\w.]+s) \| `)

// timesOf is how long runs took to find mutants, as the table that there is says.
func timesOf(t *testing.T) map[string]time.Duration {
	table, err := os.ReadFile(mutantTable)
	if err != nil {
		t.Fatal(err)
	}
	took := map[string]time.Duration{}
	for _, m := range timedLine.FindAllStringSubmatch(string(table), -1) {
		if d, err := time.ParseDuration(m[2]); err == nil {
			took[m[1]] = max(d, 1) // 0s is less than is shown
		}
	}
	return took
}

// argued says of mutants that nothing finds why that is right. Beyond it there
// are those of the list of sixty (M01 to M60) that have no point of their own.
var argued = map[string]string{
	"M07": "a greeting carries no position here: only the answer to a vote does",
	"M10": "what voters said is kept by member, not by place in a set: there is no wrong slot to read",
	"M12": "there is no data directory before the election: a server is made from the LSN that its proposer begins at, and intake refuses any other",
	"M36": "a control file is written whether it changed or not",
	"M37": "a control file is written under the lock of the step that owes it, from what is then: there is no old copy (core.Must in Acceptor.Saved)",
	"M40": "a control file that cannot be read ends the start: TestBadStateIsRefusedByName; there is no way on that one wrong line could open",
	"M41": "WAL is flushed by the timeline, not by the connection that it came by",
	"M58": "T02 and P09: records left out, or taken in twice, at a reconnect",
	"M59": "C01",
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// find runs seeds until one fails.
func (r *tableRow) find(t *testing.T, m mutant) {
	defer faults.Plant(m.point)()
	o := fuzz.Options{}
	if m.classes != "" {
		var err error
		if o.Classes, err = fuzz.ParseClasses(m.classes); err != nil {
			t.Fatal(err)
		}
	}
	began := cpuTime()
	for o.Seed = 1; o.Seed <= m.bound(); o.Seed++ {
		if x := fuzz.Run(o); x.Err != nil {
			r.seed, r.oracle, r.took = o.Seed, x.Oracle(), cpuTime()-began
			return
		}
	}
	t.Errorf("%s is not found in %d seeds", r.name, m.bound())
}

var pointLine = regexp.MustCompile(`(?m)^\t(\w+) +// (\w+): (.*)$|^\t// (\w+): (.*)\n\t(\w+)$`)

// pointsOf reads the points and what they say of themselves.
func pointsOf(t *testing.T) (rows []*tableRow) {
	source, err := os.ReadFile("../core/faults/point.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range pointLine.FindAllStringSubmatch(string(source), -1) {
		rows = append(rows, &tableRow{point: m[1] + m[6], name: m[2] + m[4], text: m[3] + m[5]})
	}
	slices.SortFunc(rows, func(a, b *tableRow) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.point, b.point)) })
	return rows
}

// planted finds the tests that mention each point, as faults.Point or, in files
// that know of faults, as a string that is its name: functions that are tests, or
// files that have some and a table of points.
func planted(t *testing.T, rows []*tableRow) {
	byPoint, byName := map[string]*tableRow{}, map[string]*tableRow{}
	for _, r := range rows {
		byPoint[r.point], byName[strconv.Quote(r.name)] = r, r
	}
	mentioned := func(n ast.Node) *tableRow {
		switch n := n.(type) {
		case *ast.BasicLit:
			return byName[n.Value]
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "faults" {
				return byPoint[n.Sel.Name]
			}
		}
		return nil
	}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "../fuzz/mutant") {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(source, []byte("faults.")) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rapid := bytes.Contains(source, []byte(`"pgregory.net/rapid"`)) || bytes.Contains(source, []byte(`"xenon/internal/killed"`))
		ast.Inspect(file, func(n ast.Node) bool {
			r := mentioned(n)
			if r == nil {
				return true
			}
			if test := strings.TrimPrefix(filepath.ToSlash(name), "../"); !slices.Contains(r.tests, test) {
				r.tests = append(r.tests, test)
			}
			r.rapid = r.rapid || rapid
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mutantTableOf is the document.
func mutantTableOf(rows []*tableRow) []byte {
	var b bytes.Buffer
	found, tested, rapid, neither := 0, 0, 0, 0
	protocol, alone := 0, 0
	var took []time.Duration
	for _, r := range rows {
		if r.took > 0 {
			took = append(took, r.took)
		}
		if strings.HasPrefix(r.name, "M") {
			protocol++
			if r.rapid {
				alone++
			}
		}
		if r.seed > 0 {
			found++
		}
		if len(r.tests) > 0 {
			tested++
		} else if r.seed == 0 {
			neither++
		}
		if r.rapid {
			rapid++
		}
	}
	fmt.Fprintf(&b, `# Mutants

Each line is the code with one change, and what finds it. Regenerated by

    XENON_MUTANTS=1 go test -tags faults ./fuzz -run TestMutantTable

and with XENON_MUTANTS=run, which takes long, the seeds and times are measured
anew. One alone: xenon sim --mutant M30, of a binary built with -tags faults.

There are %d. %d are found by runs of the simulator (the seed is the first of
1, 2, 3 and so on that does), %d by tests named here, %d of these by properties
(rapid), %d of the %d of the protocol (M) among them. %s
%s
| mutant | what is wrong | found by run: seed, oracle, time | tests | rapid |
|---|---|---|---|---|
`, len(rows), found, tested, rapid, alone, protocol, unfound(neither), median(took))
	for _, r := range rows {
		run, yes := "", "n"
		if r.seed > 0 {
			run = fmt.Sprintf("%d, %s", r.seed, r.oracle)
		}
		if r.took > 0 {
			run += ", " + r.took.Round(100*time.Millisecond).String()
		}
		if r.rapid {
			yes = "y"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.name, strings.ReplaceAll(r.text, "|", `\|`), run, strings.Join(r.tests, "<br>"), yes)
	}
	b.WriteString("\nOf the list of sixty that M01 to M60 are, these have no line above:\n\n| mutant | why |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(argued)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, argued[name])
	}
	return b.Bytes()
}

// unfound tells of mutants that nothing finds.
func unfound(n int) string {
	if n == 0 {
		return "None is left that nothing\nfinds."
	}
	return fmt.Sprintf("%d are found by\nnothing that this table knows of: work to be done.", n)
}

// median tells what a run that finds a mutant takes, if that was measured.
func median(took []time.Duration) string {
	if len(took) == 0 {
		return "\n"
	}
	slices.Sort(took)
	return fmt.Sprintf("Half of those that runs find take less than %s of CPU, all of\nthem less than %s.\n",
		took[len(took)/2].Round(100*time.Millisecond), (took[len(took)-1] + 100*time.Millisecond).Round(100*time.Millisecond))
}
