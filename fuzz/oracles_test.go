package fuzz

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/faults"
	"xenon/netsim"
)

// TestProperties: every oracle stands for a property, every control is there,
// and what says that it is checked somewhere is.
func TestProperties(t *testing.T) {
	source, err := os.ReadFile("judge.go")
	if err != nil {
		t.Fatal(err)
	}
	var held []Oracle
	for _, p := range Properties {
		held = append(held, p.Checked...)
		if len(p.Checked) == 0 && p.Also == "" {
			t.Errorf("%s is checked nowhere", p.ID)
		}
		for _, c := range p.Control {
			if _, ok := faults.ByName(c); !ok && !testIn(t, c) {
				t.Errorf("%s: no mutant and no test is called %s", p.ID, c)
			}
		}
	}
	for _, m := range regexp.MustCompile(`Oracle += "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		if !slices.Contains(held, Oracle(m[1])) {
			t.Errorf("oracle %q is of no property", m[1])
		}
	}
}

// testIn tells whether a test of this package has a name.
func testIn(t *testing.T, name string) bool {
	files, _ := filepath.Glob("*_test.go")
	return slices.ContainsFunc(files, func(f string) bool {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), "func "+name+"(")
	})
}

// TestCatalogue: each class has a name of its own, says what it is and when it
// is admissible, and names are those that plans can be written with.
func TestCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Classes() {
		if seen[c.String()] || !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(c.String()) {
			t.Errorf("class %d is called %q", c, c)
		}
		seen[c.String()] = true
		if c.About() == "" || c.Rule() == "" || c.Area() == "" {
			t.Errorf("%s lacks its text, rule or area", c)
		}
	}
	for _, n := range NotYet {
		if seen[n.Name] {
			t.Errorf("%s is there, and is not yet", n.Name)
		}
	}
}

// TestRestlessness: a process that runs in circles, one that leaves tasks and
// one that leaves connections behind turn [Quiet] red; an idle one does not.
func TestRestlessness(t *testing.T) {
	idle := func(ctx context.Context, e env.Env) error { return e.Clock().Sleep(ctx, time.Hour) }
	for _, c := range []struct {
		name string
		main netsim.Main
		red  bool
	}{
		{"idle", idle, false},
		{"circles", func(ctx context.Context, e env.Env) error {
			for {
				if err := e.Clock().Sleep(ctx, 10*time.Microsecond); err != nil {
					return err
				}
			}
		}, true},
		{"tasks", func(ctx context.Context, e env.Env) error {
			for range maxTasks + 1 {
				e.Go("left", func(ctx context.Context) { e.Clock().Sleep(ctx, time.Hour) })
			}
			return idle(ctx, e)
		}, true},
		{"connections", func(ctx context.Context, e env.Env) error {
			l, err := e.Net().Listen(ctx, ":7")
			if err != nil {
				return err
			}
			e.Go("accept", func(context.Context) {
				for {
					if _, err := l.Accept(); err != nil {
						return
					}
				}
			})
			for range maxConns {
				if _, err := e.Net().Dial(ctx, "localhost:7"); err != nil {
					return err
				}
			}
			return idle(ctx, e)
		}, true},
	} {
		w := netsim.New(netsim.Options{Seed: 1})
		p := w.Proc("x", netsim.ProcOptions{})
		p.Start(c.main)
		r := &run{w: w, c: &cluster{w: w, sks: []*node{{Proc: p}}}}
		err := w.Proc("watch", netsim.ProcOptions{}).Do(time.Minute, r.quiet)
		var v *Violation
		if red := errors.As(err, &v) && v.Oracle == Quiet; red != c.red {
			t.Errorf("%s: %v", c.name, err)
		}
		w.Close()
	}
}
