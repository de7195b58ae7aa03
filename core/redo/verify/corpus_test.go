package verify_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"xenon/core/redo/verify"
	"xenon/internal/corpus"
)

// corpora makes each workload's corpus once for all tests of the package.
var corpora struct {
	sync.Mutex
	root string            // holds template/ and a directory for each workload
	dirs map[string]string // by workload
}

func TestMain(m *testing.M) {
	status := m.Run()
	if corpora.root != "" {
		os.RemoveAll(corpora.root)
	}
	os.Exit(status)
}

// corpusDir is the corpus of a workload. Without PostgreSQL it skips the test,
// or fails it if nothing may be skipped.
func corpusDir(t *testing.T, workload string) string {
	t.Helper()
	if err := corpus.Available(); err != nil {
		if os.Getenv("XENON_NO_SKIP") == "1" {
			t.Fatal(err)
		}
		t.Skipf("skipped: %v", err)
	}
	corpora.Lock()
	defer corpora.Unlock()
	var o corpus.Options
	if os.Getenv("XENON_FULL") == "1" {
		o.Rows, o.Txns = 4000, 300
	}
	if corpora.root == "" {
		// Not below t.TempDir: the server's user could not enter it.
		root, err := os.MkdirTemp("/var/tmp", "xenon-redo-")
		if err != nil {
			t.Fatal(err)
		}
		corpora.root, corpora.dirs = root, map[string]string{}
		if err := os.Chmod(root, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := corpus.Init(t.Context(), filepath.Join(root, "template"), o); err != nil {
			t.Fatal(err)
		}
	}
	if dir := corpora.dirs[workload]; dir != "" {
		return dir
	}
	o.Template = filepath.Join(corpora.root, "template")
	dir := filepath.Join(corpora.root, workload)
	if err := corpus.Make(t.Context(), dir, workload, o); err != nil {
		t.Fatal(err)
	}
	corpora.dirs[workload] = dir
	return dir
}

// verifyCorpus runs the verifier and shows the first few mismatches.
func verifyCorpus(t *testing.T, workload string) *verify.Result {
	t.Helper()
	shown := 0
	res, err := verify.Corpus(os.DirFS(corpusDir(t, workload)), verify.Options{Report: func(m verify.Mismatch) {
		if shown++; shown <= 5 {
			t.Log(m)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// mismatches counts what the verifier finds wrong in a corpus.
func mismatches(t *testing.T, dir string) int64 {
	t.Helper()
	res, err := verify.Corpus(os.DirFS(dir), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return res.Mismatches
}

// covered are record types that every corpus of the workload has: a run that
// misses one proves less than it seems to.
var covered = map[string]string{
	"smoke":   "Heap/INSERT Heap/INSERT+INIT Heap/UPDATE Heap/DELETE Heap2/PRUNE Heap2/VISIBLE Btree/INSERT_LEAF Btree/NEWROOT",
	"pgbench": "Heap/HOT_UPDATE Heap2/MULTI_INSERT+INIT Heap/INSERT XLOG/FPI CommitTs/ZEROPAGE",
	"heap": "Heap/HEAP_CONFIRM Heap/LOCK Heap/INPLACE Heap/UPDATE Heap/HOT_UPDATE Heap/DELETE Heap2/PRUNE Heap2/VACUUM " +
		"Heap2/FREEZE_PAGE Heap2/VISIBLE Heap2/MULTI_INSERT Storage/TRUNCATE Sequence/LOG MultiXact/CREATE_ID",
	"btree": "Btree/INSERT_LEAF Btree/INSERT_UPPER Btree/INSERT_POST Btree/SPLIT_L Btree/SPLIT_R Btree/DEDUP Btree/DELETE " +
		"Btree/VACUUM Btree/MARK_PAGE_HALFDEAD Btree/UNLINK_PAGE Btree/NEWROOT Btree/META_CLEANUP Btree/REUSE_PAGE",
	"ddl": "Database/CREATE_FILE_COPY Database/CREATE_WAL_LOG Database/DROP RelMap/UPDATE Storage/CREATE " +
		"Standby/LOCK Hash/INSERT Gist/PAGE_UPDATE SPGist/ADD_LEAF BRIN/INSERT+INIT",
	"xact": "Transaction/PREPARE Transaction/COMMIT_PREPARED Transaction/ABORT_PREPARED Transaction/ASSIGNMENT " +
		"Transaction/ABORT MultiXact/CREATE_ID MultiXact/TRUNCATE_ID CLOG/ZEROPAGE CommitTs/TRUNCATE LogicalMessage/MESSAGE XLOG/SWITCH",
}

func TestCorpora(t *testing.T) {
	for _, workload := range corpus.Workloads() {
		t.Run(workload, func(t *testing.T) {
			res := verifyCorpus(t, workload)
			t.Logf("%d records, %d redone, %d adopted, %d images, %d pages and %d files of replayed/, %d mismatches",
				res.Records, res.Redone, res.Adopted, res.ImagesCompared, res.PagesCompared, res.FilesCompared, res.Mismatches)
			if res.Mismatches != 0 {
				t.Errorf("%d mismatches: %v", res.Mismatches, res.MismatchesBy)
			}
			if res.Unmade != 0 || len(res.UnsupportedBy) != 0 {
				t.Errorf("%d pages unmade, unsupported %v, want none", res.Unmade, res.UnsupportedBy)
			}
			if res.ImagesCompared < 500 || res.PagesCompared < 1000 || res.Checkpoints < 2 {
				t.Errorf("too little compared: %+v", res)
			}
			for name := range res.AdoptedBy {
				if strings.HasPrefix(name, "Heap") || strings.HasPrefix(name, "Btree") || strings.HasPrefix(name, "Seq") {
					t.Errorf("%s was adopted from an image instead of redone", name)
				}
			}
			var missing []string
			for _, name := range strings.Fields(covered[workload]) {
				if res.ByRecord[name] == 0 {
					missing = append(missing, name)
				}
			}
			if slices.Sort(missing); len(missing) > 0 {
				t.Errorf("the workload did not provoke %v", missing)
			}
		})
	}
}
