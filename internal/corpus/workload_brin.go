package corpus

func brins(w *session) error {
	w.sql("postgres", `
set wal_consistency_checking = 'brin';
create table ranges (a int, t text) with (fillfactor = 20);
alter table ranges alter t set storage plain;
create index ranges_a on ranges using brin (a) with (pages_per_range = 1);
create index ranges_t on ranges using brin (t) with (pages_per_range = 2);
create index ranges_m on ranges using brin (a int4_minmax_multi_ops, t text_bloom_ops) with (pages_per_range = 3);
insert into ranges select g, repeat(md5(g::text), 10) from generate_series(1, ROWS) g;
select brin_summarize_new_values('ranges_a'), brin_summarize_new_values('ranges_t'), brin_summarize_new_values('ranges_m');
update ranges set a = -a where a % 10 = 0;
update ranges set t = repeat('z', 700) where a % 15 = 1;   -- tuples that grow and move
update ranges set t = repeat('~', 900) where a % 15 = 2;
select brin_desummarize_range('ranges_a', 3), brin_desummarize_range('ranges_a', 0), brin_desummarize_range('ranges_t', 4);
select brin_desummarize_range('ranges_a', 5), brin_desummarize_range('ranges_m', 0);
select brin_summarize_range('ranges_a', 3), brin_summarize_range('ranges_t', 4);
insert into ranges select g, repeat(chr(100 + g % 20), 300) from generate_series(1, ROWS) g;
vacuum ranges;
insert into ranges select g, null from generate_series(1, ROWS) g;
create unlogged table unlogged (a int);
create index on unlogged using brin (a);
`)
	// A revmap page has 1360 slots: beyond that one more is made, and what is in
	// its place goes elsewhere.
	w.sql("postgres", `
set wal_consistency_checking = '';
create table wide (a int, t text) with (fillfactor = 10);
alter table wide alter t set storage plain;
insert into wide select g, repeat(md5(g::text), 24) from generate_series(1, 1380) g;
set wal_consistency_checking = 'brin';
set wal_compression = on;
create index wide_t on wide using brin (t) with (pages_per_range = 1);
insert into wide select g, repeat(md5(g::text), 24) from generate_series(1, 20) g;
select brin_summarize_new_values('wide_t');
select brin_desummarize_range('wide_t', 1365);
update wide set t = repeat('~', 800) where a in (1361, 1370, 2, 3);
create table revmap (a int, t text) with (fillfactor = 10);
create index revmap_t on revmap using brin (t) with (pages_per_range = 1);
alter table revmap alter t set storage plain;
set wal_consistency_checking = '';
insert into revmap select g, repeat(md5(g::text), 24) from generate_series(1, 1350) g;
select brin_summarize_new_values('revmap_t');
insert into revmap select g, repeat(md5(g::text), 24) from generate_series(1, 30) g;
set wal_consistency_checking = 'brin';
select brin_summarize_new_values('revmap_t');
`)
	return w.err
}
