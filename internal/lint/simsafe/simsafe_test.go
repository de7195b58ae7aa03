package simsafe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"xenon/internal/lint/driver"
	"xenon/internal/lint/simsafe"
)

// Each finding is wanted by a comment on its line (or, as want-1, on the line
// below), and each such comment is a part of a finding's message.
func TestFindings(t *testing.T) {
	pkgs, err := driver.Load("testdata/xenon", "./...")
	if err != nil {
		t.Fatal(err)
	}
	var found, wanted []string
	for _, p := range pkgs {
		findings, err := p.Run(simsafe.Analyzer)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			found = append(found, fmt.Sprintf("%s:%d: %s", f.Pos.Filename, f.Pos.Line, f.Message))
		}
		for _, f := range p.Files {
			wanted = append(wanted, wants(t, p.Fset.Position(f.Pos()).Filename)...)
		}
	}
	if len(pkgs) != 8 || len(wanted) < 50 {
		t.Fatalf("%d packages, %d findings wanted", len(pkgs), len(wanted))
	}
	for _, w := range wanted {
		i := slices.IndexFunc(found, func(f string) bool { return matches(f, w) })
		if i < 0 {
			t.Errorf("not found: %s", rel(w))
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	for _, f := range found {
		t.Errorf("not wanted: %s", rel(f))
	}
}

// matches compares file:line: and then whether the rest is part of the message.
func matches(found, want string) bool {
	at, text, _ := strings.Cut(want, ": ")
	message, ok := strings.CutPrefix(found, at+": ")
	return ok && strings.Contains(message, text)
}

func rel(s string) string {
	wd, _ := os.Getwd()
	return strings.TrimPrefix(s, wd+string(filepath.Separator))
}

var (
	wantComment = regexp.MustCompile(`// want(-1)?((?: "[^"]*")+)`)
	wantText    = regexp.MustCompile(`"([^"]*)"`)
)

func wants(t *testing.T, name string) (out []string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		m := wantComment.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at := i + 1
		if m[1] != "" {
			at--
		}
		for _, text := range wantText.FindAllStringSubmatch(m[2], -1) {
			out = append(out, fmt.Sprintf("%s:%d: %s", name, at, text[1]))
		}
	}
	return out
}
