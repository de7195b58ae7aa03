package corpus

// blooms writes generic records: bloom is the access method that has no
// records of its own.
func blooms(w *session) error {
	w.sql("postgres", `
set wal_consistency_checking = 'generic';
set wal_compression = on;
create extension bloom;
create table filters (a int, b int, t text);
create index filters_ab on filters using bloom (a, b, t);
create index filters_l on filters using bloom (a) with (length = 800);
insert into filters select g, g % 10, md5(g::text) from generate_series(1, ROWS * 2) g;
delete from filters where a % 2 = 0;
vacuum (index_cleanup on) filters;
insert into filters select g, 1, 'x' from generate_series(1, ROWS) g;
delete from filters where a < ROWS;
vacuum (index_cleanup on) filters;
insert into filters select g, 2, 'y' from generate_series(1, ROWS * 3) g;
delete from filters;
vacuum (index_cleanup on) filters;
insert into filters select g, 3, 'z' from generate_series(1, 50) g;
create unlogged table unlogged (a int);
create index on unlogged using bloom (a);
`)
	return w.err
}
