package simcmd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"xenon/fuzz"
	"xenon/internal/simcmd/trails"
)

// elsewhere are platforms that differ from the usual one in what a program could
// depend on: the size of an int, and everything below Go.
var elsewhere = []struct {
	os, arch string
	args     func(t *testing.T, exe string) []string // what runs a program of it
}{
	{"linux", "386", func(t *testing.T, exe string) []string {
		if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
			skip(t, "linux on amd64, which runs programs for 386")
		}
		return []string{exe}
	}},
	{"js", "wasm", func(t *testing.T, exe string) []string {
		node, err := exec.LookPath("node")
		if err != nil {
			skip(t, "node (the package nodejs)")
		}
		return []string{node, "--stack-size=8192", filepath.Join(runtime.GOROOT(), "lib", "wasm", "wasm_exec_node.js"), exe}
	}},
}

func skip(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("XENON_NO_SKIP") != "" {
		t.Fatalf("skipped: needs %s", what)
	}
	t.Skipf("skipped: needs %s", what)
}

// TestSameRunEverywhere: a seed leaves the same trail on every platform.
func TestSameRunEverywhere(t *testing.T) {
	seeds := []string{"1"} // it takes wasm ten times as long
	if os.Getenv("XENON_FULL") != "" {
		seeds = strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20")
	}
	var here []trails.Trail
	for i := range seeds {
		here = append(here, trails.Of(fuzz.Run(fuzz.Options{Seed: uint64(i + 1)})))
	}
	for _, p := range elsewhere {
		t.Run(p.os+"-"+p.arch, func(t *testing.T) {
			exe := filepath.Join(t.TempDir(), "trail")
			args := p.args(t, exe)
			build := exec.Command("go", "build", "-o", exe, "xenon/internal/simcmd/trail")
			build.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			cmd := exec.Command(args[0], append(args[1:], seeds...)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // there is little room for it in wasm
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.Bytes())
			}
			lines := json.NewDecoder(bytes.NewReader(out))
			for _, want := range here {
				var got trails.Trail
				if err := lines.Decode(&got); err != nil {
					t.Fatal(err)
				}
				if where := trails.Differ(want, got); where != "" {
					t.Errorf("%s %s: %s", p.os, p.arch, where)
				}
			}
		})
	}
}
