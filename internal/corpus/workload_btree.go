package corpus

func btree(w *session) error {
	// A wide key splits pages early, so that levels come and go in a small run.
	w.sql("postgres", `
create table wide (k text, n int);
alter table wide alter k set storage external;  -- not compressed in the index
create index wide_k on wide (k);
insert into wide select repeat(md5(g::text), 20) || g, g from generate_series(1, ROWS * 2) g;
insert into wide select repeat(md5((g * 7)::text), 20), g from generate_series(1, ROWS) g order by random();
delete from wide where n > 10;
vacuum wide;               -- half-dead pages, unlinked pages
select txid_current();
vacuum wide;               -- pages that may be used again
insert into wide select repeat(md5(g::text), 20) || 'z', g from generate_series(1, ROWS) g;
delete from wide;
vacuum wide;               -- one page on each level, the leaf the fast root
select txid_current();
insert into wide select repeat(md5(g::text), 20), g from generate_series(1, 60) g;
`)
	w.sql("postgres", `
create table dup (a int, b int, v int) with (fillfactor = 60);
create index dup_a on dup (a);
create unique index dup_b on dup (b);
insert into dup select g % 5, g, 0 from generate_series(1, ROWS) g;
insert into dup select g % 5, -g, 0 from generate_series(1, ROWS) g order by random();
delete from dup where b % 3 = 0;
vacuum dup;                -- TIDs out of posting lists
insert into dup select g % 5, g * 100000, 1 from generate_series(1, ROWS) g;
update dup set v = v + 1;
update dup set v = v + 1, a = a where b % 2 = 0;
`)
	// Row versions pile up in a small range: tuples killed by scans, then
	// deleted where the page would split.
	w.sql("postgres", `
create table churn (id int primary key, v int, w int) with (fillfactor = 50);
create index churn_v on churn (v);
insert into churn select g, g % 20, 0 from generate_series(1, ROWS) g;
`)
	for range 3 {
		w.sql("postgres", `
update churn set w = w + 1, v = v + 1 where id % 2 = 0;
set enable_seqscan = off;
set enable_bitmapscan = off;
select count(*) from churn where v between 0 and 30 and w >= 0;
update churn set v = v - 1;
`)
	}
	w.sql("postgres", "vacuum churn; reindex table churn; insert into churn select -g, g, 0 from generate_series(1, 50) g;")
	return w.err
}
