package simsafe

import (
	"go/ast"
	"go/token"
	"go/types"
)

// sortedCalls finds the calls of maps.Keys, Values and All whose order cannot
// show, because the result is sorted: arguments of slices.Sorted, and what is
// collected into a variable that the same function sorts.
func (c *checker) sortedCalls(file *ast.File) map[*ast.CallExpr]bool {
	sorted := map[*ast.CallExpr]bool{}
	for _, decl := range file.Decls {
		variables := map[types.Object]bool{}
		ast.Inspect(decl, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			f := c.callee(call)
			switch {
			case isFunc(f, "slices", "Sorted", "SortedFunc", "SortedStableFunc"):
				markCalls(call.Args[0], sorted)
			case isFunc(f, "slices", "Sort", "SortFunc", "SortStableFunc"), isFunc(f, "sort", "Slice", "SliceStable", "Strings", "Ints"):
				if id, ok := call.Args[0].(*ast.Ident); ok {
					variables[c.pass.TypesInfo.ObjectOf(id)] = true
				}
			}
			return true
		})
		ast.Inspect(decl, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
				if id, ok := a.Lhs[0].(*ast.Ident); ok && variables[c.pass.TypesInfo.ObjectOf(id)] {
					markCalls(a.Rhs[0], sorted)
				}
			}
			return true
		})
	}
	return sorted
}

func markCalls(e ast.Expr, set map[*ast.CallExpr]bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			set[call] = true
		}
		return true
	})
}

// orderFree tells whether the body of a range over a map does the same in any
// order, as far as that is plain: it counts, adds up, deletes, and writes under
// the key it is at.
func (c *checker) orderFree(n *ast.RangeStmt) bool {
	key, _ := n.Key.(*ast.Ident)
	return c.freeList(n.Body.List, key)
}

func (c *checker) freeList(list []ast.Stmt, key *ast.Ident) bool {
	for _, s := range list {
		if !c.freeStmt(s, key) {
			return false
		}
	}
	return true
}

func (c *checker) freeStmt(s ast.Stmt, key *ast.Ident) bool {
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
		return true
	case *ast.IncDecStmt:
		return c.pure(s.X)
	case *ast.BlockStmt:
		return c.freeList(s.List, key)
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE && s.Label == nil
	case *ast.IfStmt:
		return s.Init == nil && c.pure(s.Cond) && c.freeStmt(s.Body, key) && c.freeStmt(s.Else, key)
	case *ast.SwitchStmt:
		return s.Init == nil && (s.Tag == nil || c.pure(s.Tag)) && c.freeList(s.Body.List, key)
	case *ast.CaseClause:
		return c.pure(s.List...) && c.freeList(s.Body, key)
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		return ok && c.builtin(call) == "delete" && c.pure(call.Args...)
	case *ast.AssignStmt:
		return len(s.Lhs) == 1 && len(s.Rhs) == 1 && c.pure(s.Rhs[0]) && c.freeAssign(s, key)
	}
	return false
}

func (c *checker) freeAssign(s *ast.AssignStmt, key *ast.Ident) bool {
	switch s.Tok {
	case token.DEFINE:
		return true
	case token.ADD_ASSIGN, token.SUB_ASSIGN, token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN:
		b, ok := c.pass.TypesInfo.TypeOf(s.Lhs[0]).Underlying().(*types.Basic)
		return ok && b.Info()&types.IsInteger != 0
	case token.ASSIGN:
		x, ok := s.Lhs[0].(*ast.IndexExpr)
		if !ok || key == nil {
			return false
		}
		_, isMap := c.pass.TypesInfo.TypeOf(x.X).Underlying().(*types.Map)
		id, isKey := x.Index.(*ast.Ident)
		return isMap && isKey && c.pass.TypesInfo.ObjectOf(id) == c.pass.TypesInfo.ObjectOf(key)
	}
	return false
}

// pure tells whether expressions do nothing but compute a value.
func (c *checker) pure(list ...ast.Expr) bool {
	ok := true
	for _, e := range list {
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				ok = false
			case *ast.UnaryExpr:
				ok = ok && n.Op != token.ARROW
			case *ast.CallExpr:
				conversion := c.pass.TypesInfo.Types[n.Fun].IsType()
				b := c.builtin(n)
				ok = ok && (conversion || b == "len" || b == "min" || b == "max" || isFunc(c.callee(n), "xenon/core/faults", "Hit"))
			}
			return ok
		})
	}
	return ok
}

func (c *checker) builtin(n *ast.CallExpr) string {
	if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok {
		if b, ok := c.pass.TypesInfo.Uses[id].(*types.Builtin); ok {
			return b.Name()
		}
	}
	return ""
}
