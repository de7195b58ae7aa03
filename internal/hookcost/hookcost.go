// Package hookcost measures what the hooks of the simulator cost production: it
// builds the benchmarks of a package twice, as they are and with every hook
// compiled out, and runs the two in turn. Start at [Measure].
//
// A hook is a place that tells a trace of an event, or an invariant that is
// checked in production as well. Planted faults are behind a constant and leave
// nothing in a binary. What is reached through env.Env stays: the same code
// without it would be another program.
package hookcost

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Bench is a benchmark and the packages whose hooks are compiled out.
type Bench struct {
	Package string   // whose tests have it, relative to the module's root
	Name    string   // as go test -bench takes it
	Times   int      // iterations of a slice
	Hooked  []string // directories with hooks on its way
}

// A Cost is what was measured.
type Cost struct {
	Bench
	Places int       // hooks that were compiled out
	Ratios []float64 // processor time with hooks to that without, of neighbouring slices
}

// Median is the middle one of the ratios.
func (c Cost) Median() float64 {
	s := slices.Sorted(slices.Values(c.Ratios))
	return s[len(s)/2]
}

// Measure builds b twice in dir and runs rounds pairs of slices.
func Measure(root, dir string, b Bench, rounds int) (Cost, error) {
	c := Cost{Bench: b}
	overlay := filepath.Join(dir, "overlay.json")
	var err error
	if c.Places, err = strip(root, dir, b.Hooked, overlay); err != nil {
		return c, err
	}
	with, without := filepath.Join(dir, "with.test"), filepath.Join(dir, "without.test")
	for out, flags := range map[string][]string{with: nil, without: {"-overlay", overlay}} {
		args := append(append([]string{"test", "-c", "-o", out}, flags...), "./"+b.Package)
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return c, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
		}
	}
	for i := range rounds {
		var took [2]time.Duration
		for j := range 2 {
			which := (i + j) % 2 // who goes first changes
			if took[which], err = slice([]string{with, without}[which], filepath.Join(root, b.Package), b); err != nil {
				return c, err
			}
		}
		c.Ratios = append(c.Ratios, float64(took[0])/float64(took[1]))
	}
	return c, nil
}

// slice runs a benchmark once and returns the processor time it took.
func slice(exe, dir string, b Bench) (time.Duration, error) {
	cmd := exec.Command(exe, "-test.run", "^$", "-test.bench", b.Name, "-test.benchtime", fmt.Sprintf("%dx", b.Times))
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", b.Name, err, text)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// strip writes the sources of dirs without their hooks, and the overlay that
// puts them in the place of the real ones.
func strip(root, dir string, dirs []string, overlay string) (places int, err error) {
	replace := map[string]string{}
	for _, d := range dirs {
		names, err := filepath.Glob(filepath.Join(root, d, "*.go"))
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				return 0, err
			}
			out, n, err := Without(name, source)
			if err != nil {
				return 0, err
			}
			if n == 0 {
				continue
			}
			to := filepath.Join(dir, strings.ReplaceAll(filepath.Join(d, filepath.Base(name)), string(filepath.Separator), "_"))
			if err := os.WriteFile(to, out, 0o600); err != nil {
				return 0, err
			}
			replace[name], places = to, places+n
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return 0, err
	}
	return places, os.WriteFile(overlay, b, 0o600)
}

// Without is a Go file whose hooks are in branches that are never compiled, so
// that what they mention is still used; n is how many there were.
func Without(name string, source []byte) (out []byte, n int, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, 0, err
	}
	at := 0
	ast.Inspect(file, func(node ast.Node) bool {
		s, ok := node.(*ast.ExprStmt)
		if !ok || !hook(s.X) {
			return true
		}
		from, to := set.Position(s.Pos()).Offset, set.Position(s.End()).Offset
		out = append(append(append(append(out, source[at:from]...), "if false { "...), source[from:to]...), " }"...)
		at, n = to, n+1
		return false
	})
	return append(out, source[at:]...), n, nil
}

// hook tells whether a call is one: x.Trace().Note(…), x.Trace().Show(…) or
// core.Must(…).
func hook(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch on := f.X.(type) {
	case *ast.Ident:
		return on.Name == "core" && f.Sel.Name == "Must"
	case *ast.CallExpr:
		trace, ok := on.Fun.(*ast.SelectorExpr)
		return ok && trace.Sel.Name == "Trace" && (f.Sel.Name == "Note" || f.Sel.Name == "Show")
	}
	return false
}
