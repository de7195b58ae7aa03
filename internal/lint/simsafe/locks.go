package simsafe

import (
	"go/ast"
	"go/types"
	"slices"
)

// heldLocks reports calls that may park a task while a sync.Mutex is held: the
// next task that wants the mutex would block the only thread there is. It sees
// the plain case: Lock, the call and Unlock in one list of statements or in
// lists inside it, in one function.
func (c *checker) heldLocks(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				c.locked(n.Body.List, "")
			}
		case *ast.FuncLit:
			c.locked(n.Body.List, "")
		}
		return true
	})
}

// locked looks at statements that begin with the mutex named by held locked,
// if it is not empty.
func (c *checker) locked(list []ast.Stmt, held string) {
	for _, s := range list {
		if name, method := c.mutexCall(s); name != "" {
			switch {
			case (method == "Lock" || method == "RLock") && held == "":
				held = name
			case (method == "Unlock" || method == "RUnlock") && name == held:
				held = ""
			}
			continue
		}
		c.lockedStmt(s, held)
	}
}

// lockedStmt looks at one statement; lists inside it may lock and unlock by
// themselves.
func (c *checker) lockedStmt(s ast.Stmt, held string) {
	ast.Inspect(s, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.DeferStmt:
			// A function is looked at by itself; a deferred one runs later.
			return false
		case *ast.BlockStmt:
			c.locked(n.List, held)
			return false
		case *ast.CaseClause:
			c.locked(n.Body, held)
			return false
		case *ast.CallExpr:
			if f := c.callee(n); held != "" && parks(f) {
				c.report(n.Pos(), "%s may park the task while %s is locked: unlock it first, or use an xsync.Mutex", f.Name(), held)
			}
		}
		return true
	})
}

// mutexCall is the mutex and the method if s calls one of a sync mutex, also in
// a defer: then the mutex stays locked to the end, so the method is "".
func (c *checker) mutexCall(s ast.Stmt) (name, method string) {
	var call *ast.CallExpr
	switch s := s.(type) {
	case *ast.ExprStmt:
		call, _ = s.X.(*ast.CallExpr)
	case *ast.DeferStmt:
		call = s.Call
	}
	if call == nil {
		return "", ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	f := c.callee(call)
	if !ok || f == nil || f.Pkg() == nil || f.Pkg().Path() != "sync" || receiver(f) == "" {
		return "", ""
	}
	if _, deferred := s.(*ast.DeferStmt); deferred {
		return types.ExprString(sel.X), ""
	}
	return types.ExprString(sel.X), f.Name()
}

// parking are the methods that may park the calling task, by package and type.
var parking = map[string]map[string][]string{
	"xenon/core/env": {
		"Env": {"Compute"}, "Waiter": {"Wait"}, "Clock": {"Sleep"}, "Net": nil, "FS": nil, "File": nil, "ObjectStore": nil,
		"StreamConn": {"WriteBuffers", "CloseWrite", "Read", "Write"},
	},
	"xenon/core/xsync": {
		"Mutex": {"Lock", "LockCtx"}, "RWMutex": {"Lock", "LockCtx", "RLock", "RLockCtx"}, "Cond": {"Wait"},
		"Queue": {"Push", "Pop", "PopMany"}, "Sem": {"Acquire"}, "Gate": {"Close"}, "Group": {"Wait"}, "Watch": {"Await"},
		"": {"WaitUnder"},
	},
	"net": {"Conn": {"Read", "Write"}, "Listener": {"Accept"}},
}

// parks tells whether a call of f may park. A type without a list parks in
// all its methods.
func parks(f *types.Func) bool {
	if f == nil || f.Pkg() == nil {
		return false
	}
	methods, ok := parking[f.Pkg().Path()][receiver(f)]
	return ok && (methods == nil || slices.Contains(methods, f.Name()))
}

// receiver is the name of the type that f is a method of.
func receiver(f *types.Func) string {
	recv := f.Signature().Recv()
	if recv == nil {
		return ""
	}
	t := recv.Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return n.Obj().Name()
	}
	return ""
}
