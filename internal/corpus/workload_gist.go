package corpus

func gists(w *session) error {
	// Documents whose signatures take 1,900 bytes, four to a page: levels come
	// and go in a small run. Ranges of numbers of any length change the size of
	// the tuple in the parent.
	w.sql("postgres", `
create table documents (d tsvector, n int);
create index documents_d on documents using gist (d tsvector_ops (siglen = 1900));
insert into documents select (select to_tsvector('simple', string_agg(md5((g * 1000 + i)::text), ' ')) from generate_series(1, 140) i), g
  from generate_series(1, ROWS / 4) g;
delete from documents where n > 10;
vacuum documents;
create table ranges (r numrange, n int);
create index ranges_r on ranges using gist (r);
insert into ranges select numrange(-round(1.0 / g, g % 90), round(g / 7.0, 90 - g % 90)), g
  from generate_series(1, ROWS) g order by md5(g::text);
delete from ranges where n % 3 = 0;
vacuum ranges;
insert into ranges select numrange(g::numeric ^ 9, null), g from generate_series(1, ROWS / 3) g;
`)
	// Pages that empty, and pages that are used again.
	w.sql("postgres", `
create table points (p point, b box);
create index points_p on points using gist (p);
create index points_b on points using gist (b, p);
insert into points select point(g % 30, g / 30), box(point(g, g % 10), point(g + 2, g % 10 + 1)) from generate_series(1, ROWS * 3) g;
delete from points where p[0] < 25;
vacuum points;
select txid_current();
vacuum points;
insert into points select point(g % 50, g / 50.0), box(point(g, g), point(g + 1, g + 1)) from generate_series(1, ROWS * 2) g;
create unlogged table unlogged (p point);
create index on unlogged using gist (p);
`)
	w.killed("marked", "all", `
delete from marked where p[0]::int % 10 = 0;
vacuum marked;
`)
	w.killed("unmarked", "heap, heap2, btree", "")
	return w.err
}

// killed has a leaf fill whose tuples a scan has found dead: it loses them to
// make room (Gist/DELETE). PostgreSQL's replay then says on the page that
// tuples were deleted, the primary does not: its own check of the record fails
// unless VACUUM has said so before.
func (w *session) killed(table, checking, before string) {
	w.sql("postgres", `
set wal_consistency_checking = '`+checking+`';
create table `+table+` (p point);
create index `+table+`_p on `+table+` using gist (p);
insert into `+table+` select point(g, g) from generate_series(1, 300) g;  -- two leaves
`+before+`
delete from `+table+` where p[0]::int % 7 > 0;
set enable_seqscan = off;
set enable_bitmapscan = off;
select count(*) from `+table+` where p <@ box '((0,0),(500,500))';
select count(*) from `+table+` where p <@ box '((0,0),(500,500))';
insert into `+table+` select point(g, g) from generate_series(1, 300) g, generate_series(1, 2);
`)
}
