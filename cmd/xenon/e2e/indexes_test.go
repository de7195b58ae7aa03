package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"xenon/core"
	"xenon/internal/pgtest"
)

// indexMajors are the versions whose index pages are held to the heap: all of
// them at full size.
func indexMajors() []int {
	if full() {
		return []int{14, 15, 16, 17, 18}
	}
	return []int{15, 17}
}

// An access is an index and questions that it can answer. Each question is a
// condition on table t; nothing but the index named can answer it in an
// ordered, index-only or bitmap scan, since each has columns of its own.
type access struct {
	index, method string
	conditions    []string
}

// accesses are all index methods, in the forms in which their pages differ.
var accesses = []access{
	{"t_pkey", "", []string{"id < 400", "id BETWEEN 1500 AND 2500"}},
	{"t_same", "btree (same)", []string{"same = 3", "same IN (1, 7)"}}, // long posting lists
	{"t_name", "btree (name, id)", []string{"name BETWEEN 'name 20' AND 'name 50'", "name LIKE 'name 7%' AND name >= 'name 7' AND name < 'name 8'"}},
	{"t_part", "btree (part) WHERE part IS NOT NULL", []string{"part IS NOT NULL AND part > 100"}},
	{"t_hash", "hash (h)", []string{"h = 5", "h = 77", "h = 140"}},
	{"t_words", "gin (words) WITH (fastupdate = on, gin_pending_list_limit = 64)", []string{"words @> '{3}'", "words @> '{1,4}'", "words && '{90,91}'"}},
	{"t_text", "gin (to_tsvector('simple', said)) WITH (fastupdate = off)", []string{"to_tsvector('simple', said) @@ 'word3 & word4'", "to_tsvector('simple', said) @@ 'word11'"}},
	{"t_box", "gist (b)", []string{"b && box '(10,10),(30,30)'", "b <@ box '(0,0),(50,20)'"}},
	{"t_range", "gist (r)", []string{"r @> 700", "r && int4range(1200, 1300)"}},
	{"t_quad", "spgist (q)", []string{"q <@ box '(20,20),(60,40)'"}},
	{"t_kd", "spgist (kd kd_point_ops)", []string{"kd <@ box '(0,0),(40,90)'"}},
	{"t_radix", "spgist (radix)", []string{"radix ^@ 'name 1'", "radix = 'name 42'"}},
	{"t_minmax", "brin (at) WITH (pages_per_range = 2, autosummarize = on)", []string{"at BETWEEN 300 AND 350", "at > 2900"}},
	{"t_multi", "brin (mm int4_minmax_multi_ops) WITH (pages_per_range = 2)", []string{"mm = 17", "mm BETWEEN 900 AND 950"}},
	{"t_bb", "brin (bb int4_bloom_ops) WITH (pages_per_range = 2)", []string{"bb = 33"}},
	{"t_bloom", "bloom (bl, bm)", []string{"bl = 9", "bl = 4 AND bm = 2"}},
}

// indexedTable makes the table; since lists what a version lacks.
func indexedTable(major int) []string {
	statements := []string{
		"CREATE EXTENSION bloom",
		`CREATE TABLE t (id int PRIMARY KEY, same int, name text, part int, h int, words int[], said text, b box, r int4range,
			q point, kd point, radix text, at int, mm int, bb int, bl int, bm int, pad text) WITH (autovacuum_enabled = off)`,
	}
	for _, a := range accesses {
		if a.method != "" && a.knownTo(major) {
			statements = append(statements, fmt.Sprintf("CREATE INDEX %s ON t USING %s", a.index, a.method))
		}
	}
	return statements
}

// knownTo tells whether a version has the method; all have.
func (a access) knownTo(major int) bool { return major >= 14 }

// rows is an INSERT of rows from to below until.
func rows(from, until int) string {
	return fmt.Sprintf(`INSERT INTO t SELECT i, i %% 10, 'name ' || i %% 100, CASE WHEN i %% 3 = 0 THEN i END, i %% 150,
		ARRAY[i %% 7, i %% 50, 80 + i %% 20], 'word' || i %% 9 || ' word' || i %% 13 || ' word' || i %% 5,
		box(point(i %% 97, i %% 89), point(i %% 97 + i %% 7, i %% 89 + i %% 5)), int4range(i, i + i %% 40),
		point(i %% 91, i %% 83), point(i %% 83, i %% 91), 'name ' || i %% 200, i, i %% 1000, i %% 60, i %% 30, i %% 5, repeat('p', 40)
		FROM generate_series(%d, %d) i`, from, until-1)
}

// indexWork is what one client does with rows of its own: page splits and
// deletions, dead tuples that are killed and come again, a pending list that is
// cleaned up, and queries that mark dead index entries.
func indexWork(client, round, n int) []string {
	from := (client*100 + round) * n
	until := from + n
	return []string{
		rows(from, until),
		fmt.Sprintf("UPDATE t SET same = same + 1, h = h + 1, name = name || 'x' WHERE id >= %d AND id < %d AND id %% 4 = 0", from, until),
		fmt.Sprintf("BEGIN; DELETE FROM t WHERE id >= %d AND id < %d; ROLLBACK", from, from+n/2),
		fmt.Sprintf("DELETE FROM t WHERE id >= %d AND id < %d", from+n/4, from+3*n/4),
		"SET enable_seqscan = off; SELECT count(*) FROM t WHERE same = 3; SELECT count(*) FROM t WHERE b && box '(10,10),(30,30)'; SELECT count(*) FROM t WHERE h = 5",
		rows(from+n/3, from+n/2),
		fmt.Sprintf("UPDATE t SET q = point(q[1], q[0]), kd = point(kd[1], kd[0]), b = box(b) , words = words || 3 WHERE id >= %d AND id < %d AND id %% 5 = 0", from, until),
	}
}

// indexCare is what a vacuum worker and a person with too much time do; they
// delete rows of a condition, which nobody else changes meanwhile.
func indexCare(theirs string) []string {
	return []string{
		"VACUUM t",
		"SELECT gin_clean_pending_list('t_words')",
		"SELECT brin_summarize_new_values('t_minmax'), brin_summarize_new_values('t_multi'), brin_summarize_new_values('t_bb')",
		"SELECT brin_desummarize_range('t_minmax', 0)",
		"DELETE FROM t WHERE id % 3 = 1 AND " + theirs,
		"VACUUM (INDEX_CLEANUP on) t",
		"CHECKPOINT",
		"REINDEX INDEX t_quad",
		"DELETE FROM t WHERE id % 100 < 60 AND " + theirs,
		"VACUUM t",
	}
}

// TestIndexesOnBranches changes a table with every type of index, branches off
// at random LSNs, and holds every index to the table.
func TestIndexesOnBranches(t *testing.T) {
	for _, major := range indexMajors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			pg := pgtest.NeedMajor(t, major)
			in := install(t, "--pg-bin", pg.Install.Dir)
			in.psql("main", indexedTable(major)...)
			from := in.here()
			in.workIndexes(sized(2, 6), sized(2, 8), sized(600, 4000))
			to := in.here()
			seed := uint64(os.Getpid())
			t.Logf("seed %d, WAL from %s to %s", seed, from, to)
			rng := rand.New(rand.NewPCG(seed, uint64(major)))
			in.indexesHold("main", major)
			for i := range sized(3, 20) {
				at := from + core.LSN(rng.Int64N(int64(to-from)))
				if i == 0 {
					at = to
				}
				name := fmt.Sprintf("b%d", i)
				in.must("branch", "create", name, "--at", at.String())
				in.indexesHold(name, major)
				if t.Failed() {
					t.Fatalf("branch %s at %s", name, at)
				}
				in.must("endpoint", "stop", name)
			}
		})
	}
}

// here is the end of WAL of main.
func (in *installation) here() core.LSN {
	in.t.Helper()
	lsn, err := core.ParseLSN(in.psql("main", "SELECT pg_current_wal_insert_lsn()"))
	if err != nil {
		in.t.Fatal(err)
	}
	return lsn
}

// workIndexes has clients change table t at once, and one care for it.
func (in *installation) workIndexes(clients, rounds, n int) {
	in.t.Helper()
	in.psql("main", rows(80_000, 80_000+2*n))
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			for round := range rounds {
				for _, s := range indexWork(c, round, n) {
					if _, err := in.xenon("psql", "main", "-c", s); err != nil {
						in.t.Error(err)
						return
					}
				}
			}
		})
	}
	for range rounds {
		in.psql("main", indexCare("id BETWEEN 80000 AND 89999")...)
	}
	running.Wait()
	in.psql("main", rows(90_000, 90_000+n))
	in.psql("main", indexCare("id < 1000000")...)
	in.psql("main", rows(95_000, 95_000+n))
	if in.t.Failed() {
		in.t.FailNow()
	}
}

// indexesHold checks all indexes of a branch: what amcheck knows by amcheck,
// and of all the answers.
func (in *installation) indexesHold(branch string, major int) {
	in.t.Helper()
	if in.psql(branch, "SELECT 1") != "1" {
		in.t.Fatalf("branch %s does not run", branch)
	}
	e := in.endpoint(branch)
	if out, err := in.pg("pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--parent-check",
		"-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
		in.t.Errorf("branch %s: %v\n%s", branch, err, out)
	}
	for _, a := range accesses {
		if !a.knownTo(major) {
			continue
		}
		for _, c := range a.conditions {
			in.sameAnswer(branch, a, c)
		}
	}
}

// sameAnswer compares what an index answers with what the table has. A hash of
// the rows, not their number alone: a wrong TID can lead to another row.
func (in *installation) sameAnswer(branch string, a access, condition string) {
	in.t.Helper()
	question := "SELECT count(*) || ' ' || coalesce(sum(hashint4(id)::bigint), 0) FROM t WHERE " + condition
	byIndex := []string{"SET enable_seqscan = off", "SET max_parallel_workers_per_gather = 0"}
	lines := strings.Split(in.psql(branch, append(byIndex, "EXPLAIN (COSTS off) "+question, question)...), "\n")
	plan, got := strings.Join(lines[:len(lines)-1], "\n"), lines[len(lines)-1]
	if !strings.Contains(plan, a.index) {
		in.t.Errorf("%s: %s does not use %s:\n%s", branch, condition, a.index, plan)
	}
	want := in.psql(branch, "SET enable_indexscan = off", "SET enable_indexonlyscan = off", "SET enable_bitmapscan = off", question)
	if got != want {
		in.t.Errorf("%s: where %s, %s has (rows, hash) %s, the table %s", branch, condition, a.index, got, want)
	}
}
