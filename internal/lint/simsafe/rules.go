package simsafe

import (
	"slices"
	"strings"
)

// A kind is how strictly a package is looked at.
type kind uint8

const (
	free  kind = iota // realio, cmd, tools: everything
	part              // core, consensus, compute
	world             // netsim, diskdrv and judges: also iter, sync, runtime
)

// kindOf tells by the import path.
func kindOf(path string) kind {
	rest, ok := strings.CutPrefix(path, "xenon/")
	if !ok {
		return free
	}
	top, _, _ := strings.Cut(rest, "/")
	switch top {
	case "core", "consensus", "compute":
		return part
	case "netsim", "diskdrv", "fuzz", "linearizability":
		return world
	}
	return free
}

// contractSuite is test code that every world's tests share, so it is not in
// test files; it may import testing and look at the environment.
const contractSuite = "xenon/core/env/envtest"

// imports are forbidden as a whole, with the way out.
var imports = map[string]string{
	"crypto/rand":                  "take ids and nonces from Env.Entropy",
	"hash/maphash":                 "its seed is random: use hash/fnv or crc32",
	"log":                          "log to Env.Log",
	"math/rand":                    "take random numbers from Env.Rand",
	"os":                           "reach files through Env.FS",
	"path/filepath":                "paths of Env.FS are for package path",
	"testing":                      "only in tests",
	"unique":                       "it depends on the garbage collector",
	"unsafe":                       "addresses differ between runs",
	"weak":                         "it depends on the garbage collector",
	"golang.org/x/sync/errgroup":   "use xsync.Group",
	"golang.org/x/sync/semaphore":  "use xsync.Sem",
	"golang.org/x/sys/unix":        "reach the system through Env",
	"github.com/google/uuid":       "take ids from Env.Entropy",
	"github.com/google/go-cmp/cmp": "only in tests",
	"pgregory.net/rapid":           "only in tests",
}

// partImports are forbidden to parts but not to worlds.
var partImports = map[string]string{
	"runtime":         "parts know nothing of goroutines and memory",
	"runtime/debug":   "parts know nothing of goroutines and memory",
	"runtime/metrics": "parts know nothing of goroutines and memory",
	"syscall":         "errors of the system are those of core/env",
}

func forbiddenImport(k kind, from, path string) string {
	if from == contractSuite && (path == "testing" || path == "os") {
		return ""
	}
	if why := imports[path]; why != "" {
		return why
	}
	if k == part {
		return partImports[path]
	}
	return ""
}

// A names rule says which names of a package may be used: all but deny, or
// none but allow.
type names struct {
	allow, deny []string
	// prefixes of names that are allowed too.
	prefixes []string
	why      string
}

func (n names) forbids(name string) bool {
	if slices.Contains(n.deny, name) {
		return true
	}
	if n.allow == nil {
		return false
	}
	return !slices.Contains(n.allow, name) && !slices.ContainsFunc(n.prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// rules holds for every package that is looked at.
var rules = map[string]names{
	"time": {deny: []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer",
		"Ticker", "Timer", "Local", "LoadLocation"}, why: "use Env.Clock"},
	"context": {deny: []string{"WithCancel", "WithCancelCause", "WithTimeout", "WithTimeoutCause", "WithDeadline",
		"WithDeadlineCause", "AfterFunc"}, why: "use xsync.WithCancel, WithTimeout or WithDeadline"},
	"net": {allow: []string{"Conn", "Listener", "Addr", "Error", "OpError", "Buffers", "ErrClosed", "JoinHostPort",
		"SplitHostPort"}, why: "reach the network through Env.Net"},
	"net/http": {allow: []string{"CanonicalHeaderKey", "DetectContentType", "ErrAbortHandler", "ErrBodyReadAfterClose",
		"Error", "Flusher", "Handler", "HandlerFunc", "Header", "MaxBytesError", "MaxBytesReader", "NewRequest",
		"NewRequestWithContext", "NewServeMux", "NoBody", "NotFound", "NotFoundHandler", "ReadRequest", "ReadResponse",
		"Request", "Response", "ResponseWriter", "ServeMux", "StripPrefix"}, prefixes: []string{"Status", "Method"},
		why: "serve and ask through core/wire/http1"},
}

// kindRules holds for one kind besides.
var kindRules = map[kind]map[string]names{
	part: {
		"iter":         {deny: []string{"Pull", "Pull2"}, why: "a coroutine is the scheduler's business"},
		"math/rand/v2": {allow: []string{"Rand"}, why: "take a *rand.Rand from Env.Rand"},
		"sync": {allow: []string{"Mutex", "RWMutex", "Locker", "Once", "OnceFunc", "OnceValue", "OnceValues", "Pool"},
			why: "block with package xsync"},
	},
	world: {
		"math/rand/v2": {allow: []string{"Rand", "New", "Source", "NewPCG", "PCG", "NewChaCha8", "ChaCha8", "Zipf", "NewZipf"},
			why: "the global generator has no seed"},
		"runtime": {deny: []string{"SetFinalizer", "AddCleanup"}, why: "it depends on the garbage collector"},
		"syscall": {allow: []string{"Errno"}, prefixes: []string{"E"}, why: "only error numbers"},
	},
}

func forbiddenName(k kind, pkg, name string) string {
	for _, r := range [...]names{rules[pkg], kindRules[k][pkg]} {
		if r.forbids(name) {
			return r.why
		}
	}
	return ""
}
