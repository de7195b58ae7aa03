package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"xenon/core/faults"
	"xenon/core/redo/verify"
	"xenon/internal/corpus"
)

// corpora makes each corpus once for all tests of the package.
var corpora struct {
	sync.Mutex
	root string              // holds a directory for each template and corpus
	made map[string]*oneTime // by name of the directory
	// verified has what the verifier said of a corpus, by directory.
	verified map[string]*verified
}

type verified struct {
	sync.Once
	res *verify.Result
	err error
}

type oneTime struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if corpora.root != "" {
		os.RemoveAll(corpora.root)
	}
	os.Exit(status)
}

// once makes the directory name below the root of all corpora, if this run of
// the tests has not yet.
func once(t *testing.T, name string, create func(dir string) error) string {
	t.Helper()
	corpora.Lock()
	if corpora.root == "" {
		// Not below t.TempDir: the server's user could not enter it.
		root, err := os.MkdirTemp("/var/tmp", "xenon-redo-")
		if err != nil {
			corpora.Unlock()
			t.Fatal(err)
		}
		corpora.root, corpora.made, corpora.verified = root, map[string]*oneTime{}, map[string]*verified{}
		if err := os.Chmod(root, 0o777); err != nil {
			corpora.Unlock()
			t.Fatal(err)
		}
	}
	one := corpora.made[name]
	if one == nil {
		one = &oneTime{dir: filepath.Join(corpora.root, name)}
		corpora.made[name] = one
	}
	corpora.Unlock()
	one.Do(func() { one.err = create(one.dir) })
	if one.err != nil {
		t.Fatal(one.err)
	}
	return one.dir
}

// needMajor skips the test where the server is missing, or fails it if nothing
// may be skipped.
func needMajor(t *testing.T, major int) {
	t.Helper()
	if err := corpus.Available(major); err != nil {
		if os.Getenv("XENON_NO_SKIP") == "1" {
			t.Fatal(err)
		}
		t.Skipf("skipped: %v", err)
	}
}

// A recording is a corpus that the tests share, one of each major.
type recording struct {
	name, workloads string
	hints           bool // changes by hints are logged, as checksums make it; images are compressed
	aged            bool // the logs of transactions begin at the end of a segment
}

// recordings have, together, every record type of every major.
var recordings = []recording{everything, hinted}

var (
	everything = recording{name: "everything", aged: true, workloads: "smoke+heap+btree+ddl+tablespaces+origins+" +
		"gin+oldgin+gist+hash+spgist+brin+bloom+logical+xact+crash+promote"}
	hinted = recording{name: "hinted", workloads: "hints", hints: true}
)

// dir is the recording of a major, made if it is not there yet.
func (r recording) dir(t *testing.T, major int) string {
	t.Helper()
	needMajor(t, major)
	o := corpus.Options{Major: major, Aged: r.aged}
	if os.Getenv("XENON_FULL") == "1" {
		o.Rows, o.Txns = 900, 150 // a gigabyte of WAL for each major
	}
	if r.hints {
		o.Compression = "on" // pglz
	}
	if r.hints && major >= 18 {
		o.Checksums = true // as they are unless initdb is told otherwise
	} else {
		o.HintsLogged = r.hints
	}
	o.Template = once(t, fmt.Sprintf("template-%d-%v-%v", major, o.Checksums, o.Aged), func(dir string) error {
		return corpus.Init(t.Context(), dir, o)
	})
	return once(t, fmt.Sprintf("%s-%d", r.name, major), func(dir string) error {
		return corpus.Make(t.Context(), dir, r.workloads, o)
	})
}

// corpusDir is a corpus that has workloads: that of everything if they are in
// there.
func corpusDir(t *testing.T, major int, workloads string) string {
	t.Helper()
	for name := range strings.SplitSeq(workloads, "+") {
		if !strings.Contains("+"+everything.workloads+"+", "+"+name+"+") {
			return recording{name: workloads, workloads: workloads}.dir(t, major)
		}
	}
	return everything.dir(t, major)
}

// majors are those that tests look at. With planted faults they are those that
// show one; the same tests without faults look at all.
func majors() []int {
	if faults.On && os.Getenv("XENON_FULL") != "1" {
		return []int{15, 17}
	}
	return corpus.Majors
}

// verifyDir is what the verifier says of a corpus. It runs once for all tests;
// the first shows a few mismatches.
func verifyDir(t *testing.T, dir string) *verify.Result {
	t.Helper()
	corpora.Lock()
	done := corpora.verified[dir]
	if done == nil {
		done = new(verified)
		corpora.verified[dir] = done
	}
	corpora.Unlock()
	done.Do(func() {
		shown := 0
		done.res, done.err = verify.Corpus(os.DirFS(dir), verify.Options{Report: func(m verify.Mismatch) {
			if shown++; shown <= 5 {
				t.Log(m)
			}
		}})
	})
	res := done.res
	if done.err != nil {
		t.Fatal(done.err)
	}
	t.Logf("%d records, %d redone, %d adopted, %d images, %d pages and %d files of replayed/, %d mismatches",
		res.Records, res.Redone, res.Adopted, res.ImagesCompared, res.PagesCompared, res.FilesCompared, res.Mismatches)
	return res
}

// turnsRed tells whether the verifier finds anything wrong in a corpus.
func turnsRed(t *testing.T, dir string) bool {
	t.Helper()
	res, err := verify.Corpus(os.DirFS(dir), verify.Options{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return res.Mismatches > 0
}

// testWorkload records workloads on every major and wants redo to agree with
// everything PostgreSQL made of them, and each of the opcodes, separated by
// blanks, to be there and held to images: a run that misses one proves less
// than it seems to.
func testWorkload(t *testing.T, workloads, opcodes string) {
	t.Helper()
	for _, major := range majors() {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			res := verifyDir(t, corpusDir(t, major, workloads))
			wantClean(t, res)
			for _, name := range strings.Fields(opcodes) {
				switch op := res.Ops[name]; {
				case op == nil:
					t.Errorf("%s: the workload did not provoke it", name)
				case op.Compared == 0 || op.Adopted != 0:
					t.Errorf("%s: %d blocks compared, %d records adopted, want more than 0 and 0", name, op.Compared, op.Adopted)
				}
			}
		})
	}
}

// wantClean fails the test if anything was wrong.
func wantClean(t *testing.T, res *verify.Result) {
	t.Helper()
	if res.Mismatches != 0 {
		t.Errorf("%d mismatches: %v", res.Mismatches, res.MismatchesBy)
	}
	if res.Unmade != 0 || len(res.UnsupportedBy) != 0 {
		t.Errorf("%d pages unmade, unsupported %v, want none", res.Unmade, res.UnsupportedBy)
	}
}
