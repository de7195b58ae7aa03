package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// A File is one Go file of the tree, as far as the rules look at it.
type File struct {
	Name    string // slash-separated, below the root
	Test    bool
	Package string // the name in its package clause
	Doc     string // the package comment
	Lines   int
	Imports []Import
	// Undocumented are the exported names without a comment.
	Undocumented []Finding
}

// An Import is one import of a file.
type Import struct {
	Path string
	Line int
}

// Dir is the directory of the file, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Name) }

// A Finding is a broken rule and where.
type Finding struct {
	File string
	Line int
	Text string
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// Read reads the Go files below root, in the order of their names. Directories
// that the go command passes over are passed over.
func Read(root string) ([]*File, error) {
	var files []*File
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != root && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
				return filepath.SkipDir // a module of its own has rules of its own
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || base[0] == '.' || base[0] == '_' {
			return nil
		}
		f, err := readFile(root, name)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func readFile(root, name string) (*File, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		return nil, err
	}
	f := &File{
		Name: filepath.ToSlash(rel), Test: strings.HasSuffix(name, "_test.go"), Package: tree.Name.Name,
		Doc: docText(tree.Doc), Lines: strings.Count(string(src), "\n"),
	}
	if !f.Test && f.Package != "main" {
		f.Undocumented = undocumented(fset, tree)
	}
	for _, spec := range tree.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		f.Imports = append(f.Imports, Import{Path: p, Line: fset.Position(spec.Pos()).Line})
	}
	return f, nil
}

func docText(doc *ast.CommentGroup) string {
	if doc == nil {
		return ""
	}
	return doc.Text()
}
