package corpus

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// workloads by name; what each one provokes stands beside it.
var workloads = map[string]func(*session) error{
	"smoke":   smoke, // a table filled, changed, vacuumed
	"pgbench": bench, // TPC-B by several clients
	"heap":    heap,  // every heap record, maps, truncation
	"btree":   btree, // splits, duplicates, deletion of pages
	"ddl":     ddl,   // files made, copied, dropped; databases; relation maps
	"xact":    xact,  // two-phase, subtransactions, multixacts, truncated SLRUs

	"gin":    gins,    // both trees of GIN, its pending list
	"oldgin": oldGins, // leaves of before 9.4
	"gist":   gists,   // splits on every level, pages deleted, tuples killed

	"logical":     logical,     // what wal_level = logical adds
	"origins":     origins,     // replication origins
	"tablespaces": tablespaces, // in place
	"hints":       hints,       // images of pages changed by hints
	"crash":       crash,       // transactions and WAL cut off
	"promote":     promote,     // a second timeline

	"hash":   hashes,  // buckets split, overflow pages, each way to squeeze them
	"spgist": spgists, // tries, quad and k-d trees: every record of them
	"brin":   brins,   // range summaries, more than a page of their map
	"bloom":  blooms,  // generic records
}

// Workloads are the names that [Make] takes.
func Workloads() []string { return slices.Sorted(maps.Keys(workloads)) }

// A session drives one workload, whose tables are in a schema of its own. The
// first error stops it.
type session struct {
	ctx        context.Context
	s          *server
	data       string // data directory of the server
	major      int
	rows, txns int
	err        error
}

// from is text if the server is of that major or a later one.
func (w *session) from(major int, text string) string {
	if w.major < major {
		return ""
	}
	return text
}

// restart stops the server, with a checkpoint or as a crash would, and starts
// it with more lines in its configuration.
func (w *session) restart(mode string, settings ...string) {
	if w.err != nil {
		return
	}
	if w.err = w.s.stop(w.ctx, w.data, mode); w.err != nil {
		return
	}
	w.set(settings...)
	if w.err == nil {
		w.err = w.s.start(w.ctx, w.data)
	}
}

// set adds lines to the server's configuration, to be read at its next start.
func (w *session) set(settings ...string) {
	if w.err == nil {
		w.err = w.s.appendFile(filepath.Join(w.data, "postgresql.conf"), strings.Join(settings, "\n")+"\n")
	}
}

// sql runs statements, each its own transaction unless they say otherwise, in
// one session of a database. ROWS stands for the number of rows.
func (w *session) sql(db, script string) {
	if w.err != nil {
		return
	}
	script = strings.ReplaceAll(script, "ROWS", fmt.Sprint(w.rows))
	_, w.err = w.s.runInput(w.ctx, script, "psql", "-X", "-q", "-d", db, "-v", "ON_ERROR_STOP=1", "-f", "-")
}

// attempt is sql whose statements may fail: a failure is part of the workload.
func (w *session) attempt(script string) {
	if w.err != nil {
		return
	}
	_, w.err = w.s.runInput(w.ctx, script, "psql", "-X", "-q", "-f", "-")
}

// query is what a statement answers, one row a line.
func (w *session) query(db, statement string) string {
	if w.err != nil {
		return ""
	}
	var out string
	out, w.err = w.s.run(w.ctx, "psql", "-X", "-q", "-A", "-t", "-d", db, "-c", statement)
	return out
}

// clients runs a pgbench script in several sessions at once.
func (w *session) clients(n int, script string) {
	if w.err != nil {
		return
	}
	file := filepath.Join(w.s.socket, "script.sql")
	if w.err = os.WriteFile(file, []byte(script), 0o644); w.err != nil {
		return
	}
	_, w.err = w.s.run(w.ctx, "pgbench", "-n", "-c", fmt.Sprint(n), "-t", fmt.Sprint(w.txns),
		"--random-seed=1", "--max-tries=10", "-f", file)
}

func smoke(w *session) error {
	w.sql("postgres", `
create table t (a int primary key, b text);
insert into t select g, 'x' || g from generate_series(1, ROWS) g;
update t set b = 'y' where a % 3 = 0;
delete from t where a % 5 = 0;
vacuum t;
`)
	return w.err
}

func bench(w *session) error {
	if _, err := w.s.run(w.ctx, "pgbench", "-i", "-q", "-s", "1"); err != nil {
		return err
	}
	n := fmt.Sprint(w.txns)
	if _, err := w.s.run(w.ctx, "pgbench", "-n", "-c", "4", "-t", n, "--random-seed=1"); err != nil {
		return err
	}
	w.sql("postgres", `checkpoint; vacuum (freeze) pgbench_branches; vacuum pgbench_history;`)
	return w.err
}

func heap(w *session) error {
	w.sql("postgres", `
create table h (id int primary key, a int, t text) with (fillfactor = 70);
insert into h select g, g, repeat('h', g % 150) from generate_series(1, ROWS) g;
update h set a = a + 1 where id % 4 = 1;
update h set a = a + 1, t = t || 'x' where id % 3 = 1;
update h set t = 'changed' || t where id % 7 = 2;
select count(*) from h where t like 'hh%';
update h set a = a + 1 where id % 2 = 0;
delete from h where id % 11 = 0;
vacuum h;
update h set a = 0 where id % 50 = 0;  -- clears bits of the map
delete from h where id > ROWS / 2;
vacuum h;                              -- gives pages at the end back
vacuum (freeze) h;
insert into h select g, 1, 'again' from generate_series(ROWS + 1, ROWS + 20) g;
`)
	// Map pages cover 32,672 heap blocks; a table emptied and filled again must
	// not see the old bits.
	w.sql("postgres", `
create table emptied (a int, pad text);
insert into emptied select g, repeat('p', 100) from generate_series(1, ROWS) g;
vacuum emptied;
delete from emptied;
vacuum emptied;
insert into emptied select g, 'new' from generate_series(1, 50) g;
update emptied set a = 0 where a = 1;
create table halved (a int, pad text);
insert into halved select g, repeat('p', 300) from generate_series(1, ROWS) g;
vacuum halved;
delete from halved where a > ROWS / 2;
vacuum halved;             -- the map loses its tail
`)
	w.sql("postgres", `
create table copied (a int, b text);
copy (select g, md5(g::text) from generate_series(1, ROWS) g) to program 'cat > /dev/null';
insert into copied select g, md5(g::text) from generate_series(1, ROWS) g;
create table toast (t text);
alter table toast alter t set storage external;
insert into toast select repeat(md5(g::text), 300) from generate_series(1, 10) g;
update toast set t = t || 'tail';
delete from toast where length(t) % 2 = 1;
vacuum toast;
begin;
create table frozen (a int, b text);
copy frozen from stdin (freeze);
1	one
2	two
\.
commit;
update frozen set b = 'zwei' where a = 2;
copy copied from stdin;
1	eins
2	zwei
3	drei
\.
create table part (a int, b text) partition by range (a);
create table part1 partition of part for values from (0) to (100);
create table part2 partition of part for values from (100) to (200);
insert into part select g, 'p' from generate_series(0, 99) g;
update part set a = a + 100 where a % 3 = 0;  -- rows that move
create table locks (a int primary key, n int);
insert into locks select g, 0 from generate_series(1, 40) g;
begin;
update locks set n = 1 where a < 10;
rollback;
select count(*) from (select * from locks where a < 10 for update) s;  -- over an undone update
select count(*) from (select * from locks where a < 20 for key share) s;
begin;
update locks set n = 2 where a between 25 and 30;
rollback;
delete from locks where a between 25 and 30;                           -- over an undone update
vacuum (freeze) locks;
select count(*) from (select * from locks where a < 5 for update) s;   -- all-frozen only
begin;
select count(*) from (select * from locks where a = 7 for key share) s;
savepoint sub;
update locks set n = n + 1 where a = 7;  -- a lock and an update of two transactions: a multixact
commit;
begin;
update locks set n = n + 1 where a between 8 and 9;
prepare transaction 'locks';
select count(*) from (select * from locks where a between 8 and 9 for key share) s;  -- the updated rows too
commit prepared 'locks';
create sequence sq;
select count(nextval('sq')) from generate_series(1, 100);
analyze;
`)
	w.clients(4, `
\set a random(1, 60)
insert into locks values (:a, 1) on conflict (a) do update set n = locks.n + 1;
begin;
select * from locks where a = :a for key share;
update locks set n = n + 1 where a = :a;
end;
delete from locks where a = :a and n > 6;
`)
	w.sql("postgres", "vacuum (freeze) locks; vacuum;")
	return w.err
}
