package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
)

// undocumented finds exported functions, methods, types, constants and
// variables without a comment. A comment of a group holds for all in it.
func undocumented(fset *token.FileSet, tree *ast.File) (found []Finding) {
	missing := func(n *ast.Ident) {
		p := fset.Position(n.Pos())
		found = append(found, Finding{Line: p.Line, Text: fmt.Sprintf("%s is exported and has no comment", n.Name)})
	}
	for _, decl := range tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				missing(d.Name)
			}
		case *ast.GenDecl:
			if d.Doc != nil && (d.Tok != token.TYPE || d.Lparen == 0) {
				continue
			}
			for _, spec := range d.Specs {
				if n := bareSpec(spec); n != nil {
					missing(n)
				}
			}
		}
	}
	return found
}

// wellKnown are methods of the standard library's interfaces, which everybody
// knows.
var wellKnown = []string{"String", "Error", "Unwrap", "Read", "Write", "ServeHTTP", "Len", "Less", "Swap"}

// exportedReceiver tells whether a function, or a method that is not well
// known, can be seen from outside.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	if slices.Contains(wellKnown, d.Name.Name) {
		return false
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// bareSpec is the first exported name of a spec that has no comment.
func bareSpec(spec ast.Spec) *ast.Ident {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
			return s.Name
		}
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil {
			return nil
		}
		for _, n := range s.Names {
			if n.IsExported() {
				return n
			}
		}
	}
	return nil
}
