package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// MaxLines is the longest a file may be that is no test.
const MaxLines = 700

// vagueNames are file names that tell nothing of what is in the file.
var vagueNames = []string{"types.go", "util.go", "utils.go", "misc.go", "helper.go", "helpers.go", "common.go"}

// Source finds packages without a comment that begins as godoc wants it,
// exported names without one, files that are too long, and file names that say
// nothing.
func Source(files []*File) (found []Finding) {
	documented := map[string]bool{}
	first := map[string]*File{}
	for _, f := range files {
		if f.Test {
			continue
		}
		if first[f.Dir()] == nil {
			first[f.Dir()] = f
		}
		if f.Doc != "" {
			documented[f.Dir()] = true
			if want := docStart(f); !strings.HasPrefix(f.Doc, want) {
				found = append(found, Finding{f.Name, 1, fmt.Sprintf("package comment does not begin with %q", want)})
			}
		}
		if f.Lines > MaxLines {
			found = append(found, Finding{f.Name, f.Lines, fmt.Sprintf("file of %d lines, want %d at most: cut it by subject", f.Lines, MaxLines)})
		}
		if slices.Contains(vagueNames, path.Base(f.Name)) {
			found = append(found, Finding{f.Name, 1, "name the file after its subject"})
		}
	}
	for _, f := range files {
		for _, u := range f.Undocumented {
			found = append(found, Finding{f.Name, u.Line, u.Text})
		}
		if first[f.Dir()] == f && !documented[f.Dir()] {
			found = append(found, Finding{f.Name, 1, fmt.Sprintf("package %s has no package comment: say what it decides and where to start", f.Package)})
		}
	}
	return found
}

// docStart is how a package comment begins: "Package wal " or "Command xenon ".
func docStart(f *File) string {
	if f.Package == "main" {
		return "Command " + path.Base(f.Dir()) + " "
	}
	return "Package " + f.Package + " "
}
