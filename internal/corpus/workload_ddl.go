package corpus

func ddl(w *session) error {
	w.sql("postgres", `
create table d (a int primary key, b text);
insert into d select g, md5(g::text) from generate_series(1, ROWS) g;
alter table d add c int default (random() * 10)::int;
alter table d alter b type varchar(40);
cluster d using d_pkey;
vacuum full d;
vacuum d;
truncate d;
insert into d (a) select generate_series(1, 100);
begin;
truncate d;
insert into d (a) values (1);
rollback;
create unlogged table u (a int primary key);
insert into u select generate_series(1, 100);
alter table u set logged;
alter table u set unlogged;
create unlogged table u2 as select * from d;
`)
	// 14 copies files whatever it is told.
	logged, copied := w.from(15, "strategy wal_log"), w.from(15, "strategy file_copy")
	w.sql("postgres", "create database walcopy "+logged)
	w.sql("postgres", "create database filecopy "+copied)
	w.sql("filecopy", `
create table x as select generate_series(1, ROWS) a;
create index on x (a);
vacuum x;
`)
	w.sql("postgres", "create database twice template filecopy "+copied)
	w.sql("postgres", "create database logged template filecopy "+logged)
	w.sql("logged", "delete from x where a % 2 = 0; vacuum x;")
	w.sql("twice", "update x set a = a + 1 where a < 20; vacuum full pg_class;")
	w.sql("postgres", "drop database walcopy;")
	w.sql("postgres", "drop database filecopy;")
	w.sql("postgres", `
vacuum full pg_class;
vacuum full pg_database;
reindex table pg_class;
create index dc on d (c);
reindex index concurrently dc;
drop index concurrently dc;
create materialized view mv as select * from d;
create unique index on mv (a);
refresh materialized view concurrently mv;
begin;
create table gone as select generate_series(1, 200);
rollback;
drop table u;
drop materialized view mv;
create sequence s;
select setval('s', 1000);
alter sequence s restart;
create temp table tt (a int);
insert into tt values (1);
create table kept (a int, p point, arr int[]);
create index on kept using hash (a);
create index on kept using gin (arr);
create index on kept using gist (p);
create index on kept using spgist (p);
create index on kept using brin (a);
insert into kept select g, point(g, g), array[g % 7, g % 11] from generate_series(1, 60) g;
`)
	return w.err
}
