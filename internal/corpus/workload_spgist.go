package corpus

func spgists(w *session) error {
	// Wide values fill pages early: chains move, inner tuples get nodes and
	// prefixes are split with few rows.
	w.sql("postgres", `
set wal_consistency_checking = 'spgist';
set wal_compression = on;
create table words (n int, t text);
alter table words alter t set storage plain;
create index words_t on words using spgist (t);
insert into words select g, chr(97 + g % 26) || chr(97 + g / 26 % 26) || chr(97 + g * 7 % 26) || repeat('y', 200 + g % 100)
  from generate_series(1, ROWS * 2) g;
insert into words select g, repeat('common prefix ', 10) || g || repeat('z', 150) from generate_series(1, ROWS) g;
insert into words select g, repeat('common prefix ', g % 9) || 'then ' || g from generate_series(1, ROWS) g;
insert into words select g, repeat('a', g % 150) || chr(200 + g % 50) || g from generate_series(1, ROWS) g;
insert into words select g, 'same' from generate_series(1, ROWS) g;
insert into words select g, null from generate_series(1, ROWS) g;
delete from words where n % 3 = 0;
vacuum (index_cleanup on) words;
select txid_current();
insert into words select -g, 'again ' || g || repeat('y', g % 300) from generate_series(1, ROWS) g;
delete from words where n % 2 = 0;
vacuum (index_cleanup on) words;
select txid_current();
vacuum (index_cleanup on) words;
insert into words select -g, chr(97 + g % 26) || 'after' || g from generate_series(1, ROWS) g;
delete from words;
vacuum (index_cleanup on) words;
select txid_current();
vacuum (index_cleanup on) words;
`)
	w.sql("postgres", `
set wal_consistency_checking = 'spgist';
set wal_compression = on;
create table points (n int, p point, r int4range, i inet);
create index points_q on points using spgist (p);
create index points_k on points using spgist (p kd_point_ops);
create index points_r on points using spgist (r);
create index points_i on points using spgist (i);
insert into points select g, point((hashint4(g) & 8191), g), int4range(g, g + (hashint4(g) & 63)),
  ('10.' || g % 200 || '.' || g / 200 % 250 || '.' || g % 7)::inet from generate_series(1, ROWS) g;
delete from points where n % 5 < 2;
vacuum (index_cleanup on) points;
insert into points select -g, point(-g, g), int4range(-g, g), '::1' from generate_series(1, ROWS) g;
delete from points where n % 7 = 0;
select txid_current();
vacuum (index_cleanup on) points;
create table few (p point);
create index few_p on few using spgist (p);
insert into few select point(g, g) from generate_series(1, 20) g;
insert into few select null from generate_series(1, 20) g;
delete from few where p[0] > 5;
vacuum (index_cleanup on) few;
delete from few;
vacuum (index_cleanup on) few;
create unlogged table unlogged (p point);
create index on unlogged using spgist (p);
`)
	// Inner tuples get nodes in turn until their page is full and some must move.
	w.sql("postgres", `
set wal_consistency_checking = 'spgist';
set wal_compression = on;
create table nodes (t text);
alter table nodes alter t set storage plain;
create index nodes_t on nodes using spgist (t);
insert into nodes select chr(97 + c1) || chr(c2) || repeat('n', 500)
  from (select generate_series(1, 127) c2 union all select generate_series(128, 1920, 64)) c, generate_series(0, 5) c1
  order by c2, c1;
delete from nodes where ascii(substr(t, 2)) % 3 = 0;
vacuum (index_cleanup on) nodes;
insert into nodes select 'b' || chr(c2) || 'after' from generate_series(33, 122) c2;
`)
	// One chain after the other grows on full pages, each in transactions of its
	// own: redirects of many transactions.
	w.sql("postgres", `
set wal_consistency_checking = 'spgist';
set wal_compression = on;
create table chains (n int, t text);
alter table chains alter t set storage plain;
create index chains_t on chains using spgist (t);
do $$
begin
  for i in 1 .. ROWS loop
    insert into chains values (i, chr(97 + (i * 5) % 23) || repeat('q', 40 + i % 60) || md5(i::text));
    commit;
  end loop;
end $$;
delete from chains where n % 4 <> 0;
vacuum (index_cleanup on) chains;
`)
	return w.err
}
