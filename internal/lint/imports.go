package lint

import (
	"fmt"
	"slices"
	"strings"
)

// module is the path of the module whose tree is checked.
const module = "xenon"

// A rule says what the packages of a folder may import of the module. A path
// ending in /... means everything below it and itself; ! takes something out.
type rule struct {
	who string
	may []string
}

// rules is the import map. The first that fits a package holds. Parts (core,
// consensus, compute) never import worlds (netsim, diskdrv, realio) or judges
// (linearizability, serializability, fuzz); only cmd and tests join them.
var rules = []rule{
	// The leaves, in the order of their layers.
	{"core", nil},
	{"core/env", nil},
	{"core/faults", nil},
	{"core/env/envtest", []string{"core", "core/env", "core/xsync"}},
	{"core/xsync", []string{"core", "core/env", "core/faults"}},
	{"core/wal", []string{"core", "core/env", "core/faults"}},
	{"core/wal/...", []string{"core", "core/env", "core/faults", "core/wal/..."}},
	{"core/redo/...", []string{"core", "core/env", "core/faults", "core/wal/...", "core/redo/..."}},
	{"core/layer/...", []string{"core", "core/env", "core/faults", "core/xsync", "core/layer/..."}},
	{"core/register/...", []string{"core", "core/env", "core/faults", "core/xsync", "core/register/..."}},
	// The messages of the walproposer protocol, feedback of pageservers among
	// them, are what consensus says.
	{"core/wire/...", []string{"core", "core/env", "core/faults", "core/xsync", "core/wal", "core/wire/...", "consensus"}},
	// A pageserver asks the register of a timeline's members for them.
	{"core/pageserver/...", []string{"core/...", "consensus", "consensus/membership"}},
	{"core/...", []string{"core/...", "!core/pageserver/..."}},

	// The acceptor and the proposer are pure: no blocking, no wire.
	{"consensus", []string{"core", "core/env", "core/faults", "core/wal"}},
	{"consensus/...", []string{"core/...", "!core/pageserver/...", "consensus/..."}},
	{"compute/...", []string{"core/...", "!core/pageserver", "consensus/...", "compute/..."}},

	{"netsim/...", []string{"core", "core/env", "core/faults", "core/xsync", "netsim/...", "diskdrv/..."}},
	{"diskdrv/...", []string{"core", "core/env", "core/faults", "core/xsync", "diskdrv/..."}},
	// realio implements compute.Host, so it knows compute's types, and talks to
	// the server it started.
	{"realio/s3", []string{"core", "core/env", "core/faults", "core/xsync"}},
	{"realio/...", []string{"core", "core/env", "core/faults", "core/xsync", "core/wire/...", "compute/...", "realio/...", "!realio/s3"}},

	{"linearizability/...", []string{"core/...", "linearizability/..."}},
	{"serializability/...", []string{"core/..."}},
	{"fuzz/...", []string{"core/...", "consensus/...", "compute/...", "netsim/...", "diskdrv/...", "linearizability/...", "serializability/...", "fuzz/..."}},
	{"cmd/...", []string{"..."}},
	{"internal/lint/...", []string{"internal/lint/..."}},
	{"internal/simcmd/...", []string{"core/faults", "fuzz", "fuzz/report", "netsim", "internal/simcmd/..."}},
	// What PostgreSQL wrote, for the stand-in to write again.
	{"internal/corpus/mkrecording", []string{"core", "core/wal/...", "fuzz/standin"}},
	{"internal/...", []string{"core/...", "!core/pageserver/...", "internal/..."}},
}

// outside says who may import what is neither of the module nor of the
// standard library. Tests may import testOnly besides.
var outside = []rule{
	{"github.com/jackc/pgproto3/v2", []string{"core/wire/..."}},
	{"github.com/klauspost/compress/zstd", []string{"core/...", "fuzz/..."}},
	{"github.com/hanwen/go-fuse/v2/...", []string{"realio/..."}},
	{"golang.org/x/sys/unix", []string{"realio/...", "cmd/..."}},
	{"github.com/alecthomas/kong", []string{"cmd/..."}},
	{"github.com/pelletier/go-toml/v2/...", []string{"cmd/...", "realio/..."}},
	// 105,000 lines of generated code: nothing but commands compiles them.
	{"github.com/aws/...", []string{"realio/s3"}},
	{"github.com/anishathalye/porcupine", []string{"linearizability/..."}},
	{"golang.org/x/tools/...", []string{"internal/lint/..."}},
	{"pgregory.net/rapid", []string{"internal/killed"}}, // which tests import
}

// testOnly may be imported by tests, and by nothing else.
var testOnly = []string{"pgregory.net/rapid", "github.com/google/go-cmp/...", "github.com/johannesboyne/gofakes3/..."}

// Imports finds imports that the map does not have. Tests may import anything
// of the module but commands of others.
func Imports(files []*File) (found []Finding) {
	for _, f := range files {
		for _, i := range f.Imports {
			if why := refuse(f, i.Path); why != "" {
				found = append(found, Finding{f.Name, i.Line, fmt.Sprintf("import of %s: %s", i.Path, why)})
			}
		}
	}
	return found
}

// refuse says why a file may not import path, "" if it may.
func refuse(f *File, path string) string {
	if in, ok := strings.CutPrefix(path, module+"/"); ok {
		if f.Test {
			return refuseTest(f.Dir(), in)
		}
		return refuseInside(f.Dir(), in)
	}
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		if path == "C" {
			return "xenon is pure Go"
		}
		return "" // the standard library is simsafe's business
	}
	return refuseOutside(f, path)
}

func refuseInside(dir, in string) string {
	for _, r := range rules {
		if !fits(r.who, dir) {
			continue
		}
		if allows(r.may, in) {
			return ""
		}
		if r.may == nil {
			return dir + " is a leaf: it imports nothing of the module"
		}
		return fmt.Sprintf("%s imports only %s", dir, strings.Join(r.may, ", "))
	}
	return dir + " is not in the import map (internal/lint/imports.go): say what it may import"
}

func refuseTest(dir, in string) string {
	if fits("cmd/...", in) && !fits("cmd/...", dir) {
		return "nothing but commands imports commands"
	}
	return ""
}

func refuseOutside(f *File, path string) string {
	if f.Test && allows(testOnly, path) {
		return ""
	}
	for _, r := range outside {
		if fits(r.who, path) {
			if f.Test || allows(r.may, f.Dir()) {
				return ""
			}
			return "only " + strings.Join(r.may, ", ") + " and tests may import it"
		}
	}
	if allows(testOnly, path) {
		return "only tests may import it"
	}
	return "it is not in the list of modules (internal/lint/imports.go)"
}

// allows tells whether a list of paths has path.
func allows(list []string, path string) bool {
	for _, p := range list {
		if out, ok := strings.CutPrefix(p, "!"); ok && fits(out, path) {
			return false
		}
	}
	return slices.ContainsFunc(list, func(p string) bool { return fits(p, path) })
}

// fits tells whether pattern, which may end in /..., means path.
func fits(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	below, ok := strings.CutSuffix(pattern, "/...")
	return path == below && ok || path == pattern || ok && strings.HasPrefix(path, below+"/")
}
