package corpus

func gins(w *session) error {
	// Keys of 1,920 bytes that do not compress: four to a page of the tree of
	// keys, so that it gets levels in a small run.
	w.sql("postgres", `
create table wide (a text[], n int);
create index wide_a on wide using gin (a) with (fastupdate = off);
insert into wide select array[(select string_agg(md5((g * 1000 + i)::text), '') from generate_series(1, 60) i)], g
  from generate_series(1, ROWS / 5) g;
insert into wide select a, -n from wide where n % 3 = 0;
delete from wide where n > 0 and n % 2 = 0;
vacuum wide;               -- keys stay, their rows go
insert into wide select array[null, n::text, (n % 5)::text], n from wide;
insert into wide values ('{}', 0), (null, 0);
`)
	// The pending list: rows that fit on its last page, rows that need pages of
	// their own behind and before them, and its end in the tree.
	w.sql("postgres", `
create table pending (a int[]);
create index pending_a on pending using gin (a) with (fastupdate = on, gin_pending_list_limit = 64);
insert into pending select array[g % 3, g % 11, g] from generate_series(1, 20) g;
insert into pending select array_agg(i) from generate_series(1, 900) i;
insert into pending select array[g % 3, g % 11, g] from generate_series(21, 40) g;
insert into pending select array_agg(i) from generate_series(500, 1400) i;
insert into pending select array_agg(i) from generate_series(800, 1700) i;
select gin_clean_pending_list('pending_a');
insert into pending select array[g % 3, g % 11, g] from generate_series(1, ROWS / 3) g;
delete from pending where a @> array[1];
vacuum pending;
create unlogged table unlogged (a int[]);
create index on unlogged using gin (a);
`)
	w.postingTrees()
	return w.err
}

// postingTrees has keys with more rows than fit beside them. An index that is
// built on a full table has leaves without room; what fills the table needs no
// images.
func (w *session) postingTrees() {
	w.sql("postgres", `
set wal_consistency_checking = '';
create table tree (a int[], n int);
insert into tree select case when g % 20 = 0 then array[1] else array[1, 2] end, g from generate_series(1, 27000) g;
create index tree_a on tree using gin (a) with (fastupdate = off);
delete from tree where n % 20 = 0;
set wal_consistency_checking = 'all';
set maintenance_work_mem = '64MB';
vacuum tree;               -- TIDs out of the leaves of key 1
insert into tree select array[2, 3], -g from generate_series(1, ROWS + 200) g;  -- splits leaves of key 2
set wal_consistency_checking = '';
delete from tree where n between 4000 and 23000;
set wal_consistency_checking = 'all';
vacuum tree;               -- empties leaves and takes them out
insert into tree select array[1, 2, 3, 4], -g from generate_series(1, ROWS) g;
delete from tree where n < 0 and n % 2 = 0;
vacuum tree;
create table becomes (a int[]);
set wal_consistency_checking = '';
insert into becomes select array[7, 8] from generate_series(1, 2600) g;
create index becomes_a on becomes using gin (a) with (fastupdate = off);
set wal_consistency_checking = 'all';
insert into becomes select array[7, g] from generate_series(1, 130) g;  -- a list becomes a tree
vacuum tree;
insert into becomes select array[8, g] from generate_series(1, 70) g;
`)
}
