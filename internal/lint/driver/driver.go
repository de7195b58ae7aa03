// Package driver runs an analyzer over packages of a module.
//
// It is what golang.org/x/tools/go/packages and multichecker would be used
// for, without the modules they need: `go list -export` names the compiled
// form of every dependency, so that only the packages that are looked at are
// parsed and type-checked. Start at [Load].
package driver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/tools/go/analysis"
)

// A Package is parsed and type-checked, without its tests.
type Package struct {
	Path  string
	Fset  *token.FileSet
	Files []*ast.File
	Types *types.Package
	Info  *types.Info
}

// A listed package is what go list says of one.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
	Error                   *struct{ Err string }
	DepsErrors              []struct{ Err string }
}

// Load loads the packages that the patterns name in the module at dir. A
// package that does not compile is an error.
func Load(dir string, patterns ...string) ([]*Package, error) {
	args := append([]string{"list", "-e", "-export", "-deps",
		"-json=ImportPath,Dir,Export,GoFiles,DepOnly,Error,DepsErrors", "--"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %v\n%s", err, errs.Bytes())
	}
	exports := map[string]string{}
	var targets []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %v", err)
		}
		if p.Error != nil {
			return nil, fmt.Errorf("%s: %s\n%s", p.ImportPath, p.Error.Err, errs.Bytes())
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly && len(p.GoFiles) > 0 {
			targets = append(targets, p)
		}
	}
	return check(targets, exports)
}

func check(targets []listed, exports map[string]string) ([]*Package, error) {
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s is not compiled", path)
		}
		return os.Open(exports[path])
	})
	var out []*Package
	for _, t := range targets {
		p := &Package{Path: t.ImportPath, Fset: fset, Info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
			Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
			Instances: map[*ast.Ident]types.Instance{}, Implicits: map[ast.Node]types.Object{},
		}}
		for _, name := range t.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(t.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			p.Files = append(p.Files, f)
		}
		var err error
		if p.Types, err = (&types.Config{Importer: imp}).Check(t.ImportPath, fset, p.Files, p.Info); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// A Finding is what an analyzer reported, and where.
type Finding struct {
	Pos     token.Position
	Message string
}

func (f Finding) String() string { return f.Pos.String() + ": " + f.Message }

// Run runs one analyzer, which requires no other, over one package.
func (p *Package) Run(a *analysis.Analyzer) ([]Finding, error) {
	var out []Finding
	_, err := a.Run(&analysis.Pass{
		Analyzer: a, Fset: p.Fset, Files: p.Files, Pkg: p.Types, TypesInfo: p.Info,
		TypesSizes: types.SizesFor("gc", "amd64"),
		Report: func(d analysis.Diagnostic) {
			out = append(out, Finding{p.Fset.Position(d.Pos), d.Message})
		},
	})
	return out, err
}
