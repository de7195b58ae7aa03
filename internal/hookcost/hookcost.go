// Package hookcost measures what the hooks of the simulator cost production: it
// builds the benchmarks of a package twice, as they are and with every hook of
// the parts compiled out, and runs the two in turn. Start at [Build]; the
// figures are BenchmarkHooks's.
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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Bench is a benchmark.
type Bench struct {
	Package string // whose tests have it, relative to the module's root
	Name    string // as go test -bench takes it
	Times   int    // iterations of a slice: a second or so, of which the set-up is little
}

// parts are the directories whose packages have hooks.
var parts = []string{"core", "consensus", "compute"}

// A Pair is one benchmark built twice.
type Pair struct {
	Bench
	Hooks         []Hook // that were compiled out
	With, Without string // executables
	dir           string // where they run
}

// A Hook is a place in the code.
type Hook struct {
	Pos  token.Position
	Text string // the first string in it: its event or what it says when it fails; "" if there is none
}

// Build makes both executables of b in dir; root is the module's.
func Build(root, dir string, b Bench) (*Pair, error) {
	p := &Pair{Bench: b, With: filepath.Join(dir, "with.test"), Without: filepath.Join(dir, "without.test"), dir: filepath.Join(root, b.Package)}
	overlay := filepath.Join(dir, "overlay.json")
	var err error
	if p.Hooks, err = strip(root, dir, overlay); err != nil {
		return nil, err
	}
	for out, flags := range map[string][]string{p.With: nil, p.Without: {"-overlay", overlay}} {
		args := append(append([]string{"test", "-c", "-o", out}, flags...), "./"+b.Package)
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
		}
	}
	return p, nil
}

// Ratios runs rounds pairs of slices and returns the processor time with hooks
// to that without, of neighbouring slices.
func (p *Pair) Ratios(rounds int) (all []float64, err error) {
	for i := range rounds {
		var took [2]time.Duration
		for j := range 2 {
			which := (i + j) % 2 // who goes first changes
			if took[which], err = slice([]string{p.With, p.Without}[which], p.dir, p.Bench); err != nil {
				return nil, err
			}
		}
		all = append(all, float64(took[0])/float64(took[1]))
	}
	return all, nil
}

// Quartiles are the middle ones of the lower half, of all, and of the upper half.
func Quartiles(ratios []float64) (low, median, high float64) {
	s := slices.Sorted(slices.Values(ratios))
	return s[len(s)/4], s[len(s)/2], s[3*len(s)/4]
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

// strip writes the sources of the parts without their hooks, and the overlay
// that puts them in the place of the real ones.
func strip(root, dir, overlay string) (hooks []Hook, err error) {
	if root, err = filepath.Abs(root); err != nil { // the overlay is read elsewhere
		return nil, err
	}
	replace := map[string]string{}
	one := func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		out, found, err := Without(name, source)
		if err != nil || len(found) == 0 {
			return err
		}
		to := filepath.Join(dir, fmt.Sprintf("%d_%s", len(replace), filepath.Base(name)))
		replace[name], hooks = to, append(hooks, found...)
		return os.WriteFile(to, out, 0o600)
	}
	for _, part := range parts {
		if err := filepath.WalkDir(filepath.Join(root, part), one); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	return hooks, os.WriteFile(overlay, b, 0o600)
}

// Without is a Go file whose hooks are in branches that are never compiled, so
// that what they mention is still used.
func Without(name string, source []byte) (out []byte, hooks []Hook, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	at := 0
	ast.Inspect(file, func(node ast.Node) bool {
		s, ok := node.(*ast.ExprStmt)
		if !ok || !hook(s.X) {
			return true
		}
		pos := set.Position(s.Pos())
		from, to := pos.Offset, set.Position(s.End()).Offset
		out = append(append(append(append(out, source[at:from]...), "if false { "...), source[from:to]...), " }"...)
		at, hooks = to, append(hooks, Hook{pos, text(s.X.(*ast.CallExpr))})
		return false
	})
	return append(out, source[at:]...), hooks, nil
}

// text is the first string of a call's arguments.
func text(call *ast.CallExpr) string {
	for _, arg := range call.Args {
		if l, ok := arg.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, _ := strconv.Unquote(l.Value) // the parser has read it
			return s
		}
	}
	return ""
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
