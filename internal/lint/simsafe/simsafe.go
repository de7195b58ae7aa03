// Package simsafe is a go/analysis analyzer that refuses what would make a
// simulated run depend on anything but its seed: goroutines, channels, the
// wall clock, global random numbers, the order of maps, and blocking in
// another way than package xsync's.
//
// It looks at parts, simulated worlds and judges, not at realio, cmd and
// tests. A line that is safe for a reason that the analyzer cannot see carries
//
//	//simsafe:allow the reason
//
// on it or on the line above; above a declaration it holds for all of it. Start
// at [Analyzer]; what is forbidden stands in
// tables in rules.go.
package simsafe

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer reports what is not safe in the simulator.
var Analyzer = &analysis.Analyzer{
	Name: "simsafe",
	Doc:  "refuses nondeterminism in code that runs in the simulator",
	Run:  run,
}

// An allowance is one //simsafe:allow comment, and the lines it holds for.
type allowance struct {
	pos         token.Pos
	first, last int
	reason      string
	used        bool
}

// A checker looks at one package.
type checker struct {
	pass *analysis.Pass
	kind kind
	// allowed are the allowances of the file that is looked at.
	allowed []*allowance
}

func run(pass *analysis.Pass) (any, error) {
	k := kindOf(pass.Pkg.Path())
	if k == free {
		return nil, nil
	}
	c := &checker{pass: pass, kind: k}
	for _, file := range pass.Files {
		if strings.HasSuffix(pass.Fset.Position(file.Pos()).Filename, "_test.go") {
			continue
		}
		c.readAllowances(file)
		c.imports(file)
		c.walk(file)
		c.heldLocks(file)
		c.unusedAllowances()
	}
	return nil, nil
}

// AllowPrefix begins the comment that lets a line pass.
const AllowPrefix = "//simsafe:allow"

func (c *checker) readAllowances(file *ast.File) {
	line := c.pass.Fset.File(file.Pos()).Line
	c.allowed = nil
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if rest, ok := strings.CutPrefix(comment.Text, AllowPrefix); ok {
				l := line(comment.Pos())
				c.allowed = append(c.allowed, &allowance{pos: comment.Pos(), first: l, last: l + 1, reason: strings.TrimSpace(rest)})
			}
		}
	}
	for _, decl := range file.Decls {
		for _, a := range c.allowed {
			if a.last == line(declStart(decl)) {
				a.last = line(decl.End())
			}
		}
	}
}

// declStart is where a declaration begins after its comment.
func declStart(d ast.Decl) token.Pos {
	if f, ok := d.(*ast.FuncDecl); ok {
		return f.Type.Pos()
	}
	return d.(*ast.GenDecl).TokPos
}

// unusedAllowances reports comments without a reason, and those that let
// nothing pass: they would hide what comes later.
func (c *checker) unusedAllowances() {
	for _, a := range c.allowed {
		if a.reason == "" {
			c.pass.Reportf(a.pos, "simsafe:allow without a reason")
		} else if !a.used {
			c.pass.Reportf(a.pos, "simsafe:allow lets nothing pass here: remove it")
		}
	}
}

// report says what is wrong at pos, unless it is allowed there.
func (c *checker) report(pos token.Pos, format string, args ...any) {
	line := c.pass.Fset.File(pos).Line(pos)
	for _, a := range c.allowed {
		if a.first <= line && line <= a.last && a.reason != "" {
			a.used = true
			return
		}
	}
	c.pass.Reportf(pos, format, args...)
}

func (c *checker) imports(file *ast.File) {
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		if why := forbiddenImport(c.kind, c.pass.Pkg.Path(), path); why != "" {
			c.report(spec.Pos(), "import of %s: %s", path, why)
		}
	}
}

// walk looks at every node for statements and names that are forbidden.
func (c *checker) walk(file *ast.File) {
	sorted := c.sortedCalls(file)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			c.report(n.Pos(), "go statement: start a task with Env.Go or xsync.Group")
		case *ast.SelectStmt:
			c.report(n.Pos(), "select: wait on an xsync.Queue, Watch or Cond")
		case *ast.SendStmt:
			c.report(n.Pos(), "send on a channel: use an xsync.Queue")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				c.report(n.Pos(), "receive from a channel: use an xsync.Queue, or xsync's contexts")
			}
		case *ast.ChanType:
			c.report(n.Pos(), "channel type: use an xsync.Queue")
		case *ast.RangeStmt:
			c.rangeOver(n)
		case *ast.CallExpr:
			c.call(n, sorted)
		case *ast.SelectorExpr:
			c.selector(n)
		}
		return true
	})
}

func (c *checker) rangeOver(n *ast.RangeStmt) {
	t := c.pass.TypesInfo.TypeOf(n.X)
	if t == nil {
		return
	}
	switch core(t).(type) {
	case *types.Map:
		if n.Key != nil && !c.orderFree(n) {
			c.report(n.Pos(), "range over a map, whose order is random: range over slices.Sorted(maps.Keys(m))")
		}
	case *types.Chan:
		c.report(n.Pos(), "range over a channel: use an xsync.Queue")
	}
}

// core is the type that t has or, of a type parameter, that all its types
// have.
func core(t types.Type) types.Type {
	p, ok := types.Unalias(t).(*types.TypeParam)
	if !ok {
		return t.Underlying()
	}
	constraint := p.Constraint().Underlying().(*types.Interface)
	for i := range constraint.NumEmbeddeds() {
		if u, ok := constraint.EmbeddedType(i).(*types.Union); ok && u.Len() > 0 {
			return u.Term(0).Type().Underlying()
		}
		if _, ok := constraint.EmbeddedType(i).Underlying().(*types.Interface); !ok {
			return constraint.EmbeddedType(i).Underlying()
		}
	}
	return t.Underlying()
}

func (c *checker) call(n *ast.CallExpr, sorted map[*ast.CallExpr]bool) {
	f := c.callee(n)
	if f == nil {
		return
	}
	switch {
	case isFunc(f, "maps", "Keys", "Values", "All") && !sorted[n]:
		c.report(n.Pos(), "maps.%s in random order: sort the result", f.Name())
	case f.Pkg() != nil && f.Pkg().Path() == "fmt":
		for _, arg := range n.Args {
			if lit, ok := ast.Unparen(arg).(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "%p") {
				c.report(lit.Pos(), "%%p prints an address, which differs between runs")
			}
		}
	}
}

// callee is the function that is called, nil if it is a value or a conversion.
func (c *checker) callee(n *ast.CallExpr) *types.Func {
	fun := ast.Unparen(n.Fun)
	if x, ok := fun.(*ast.IndexExpr); ok {
		fun = x.X
	}
	var id *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		id = fun
	case *ast.SelectorExpr:
		id = fun.Sel
	default:
		return nil
	}
	f, _ := c.pass.TypesInfo.Uses[id].(*types.Func)
	return f
}

func isFunc(f *types.Func, pkg string, names ...string) bool {
	if f == nil || f.Pkg() == nil || f.Pkg().Path() != pkg {
		return false
	}
	for _, n := range names {
		if f.Name() == n {
			return true
		}
	}
	return false
}

// selector checks the names of packages of which only some are allowed.
func (c *checker) selector(n *ast.SelectorExpr) {
	obj := c.pass.TypesInfo.Uses[n.Sel]
	if obj == nil || obj.Pkg() == nil {
		return
	}
	if id, ok := n.X.(*ast.Ident); ok {
		if _, qualified := c.pass.TypesInfo.Uses[id].(*types.PkgName); qualified {
			if why := forbiddenName(c.kind, obj.Pkg().Path(), obj.Name()); why != "" {
				c.report(n.Pos(), "%s.%s: %s", obj.Pkg().Name(), obj.Name(), why)
			}
			return
		}
	}
	if obj.Pkg().Path() == "reflect" && (obj.Name() == "MapRange" || obj.Name() == "MapKeys" || obj.Name() == "UnsafePointer" || obj.Name() == "Pointer") {
		c.report(n.Pos(), "reflect's %s: its result differs between runs", obj.Name())
	}
}
