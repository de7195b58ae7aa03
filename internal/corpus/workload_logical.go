package corpus

// logical is what wal_level = logical adds to the WAL: command ids of catalog
// rows, mappings of rewritten catalogs, truncations, invalidations.
func logical(w *session) error {
	w.restart("fast", "wal_level = logical")
	w.sql("postgres", `
select pg_create_logical_replication_slot('s1', 'pgoutput');
create table l (a int primary key, b text);
alter table l replica identity full;
insert into l select g, 'x' from generate_series(1, 60) g;
update l set b = 'y' where a % 2 = 0;
delete from l where a % 5 = 0;
begin;
alter table l add c int;
insert into l values (-1, 'z', 1);
alter table l drop c;
commit;
truncate l;
create table uc (a int) with (user_catalog_table = true);
insert into uc select generate_series(1, 50);
begin;
update uc set a = a + 1;
create table ll as select 1 a;
commit;
vacuum full pg_class;
vacuum full uc;
cluster l using l_pkey;
begin;
select pg_logical_emit_message(true, 't', 'in a transaction');
savepoint s;
insert into ll values (2);
release s;
commit;
do $$ begin for i in 1..100 loop begin insert into ll values (i); exception when others then null; end; end loop; end $$;
select pg_drop_replication_slot('s1');
`)
	w.restart("fast", "wal_level = replica")
	return w.err
}

// origins commits what another server did, and says how far it has come.
func origins(w *session) error {
	w.sql("postgres", `
create table o (a int);
select pg_replication_origin_create('one');
select pg_replication_origin_create('two');
select pg_replication_origin_create('gone');
select pg_replication_origin_session_setup('one');
begin;
select pg_replication_origin_xact_setup('0/1234', '2020-01-02 03:04:05+00');
insert into o values (1);
commit;
begin;
select pg_replication_origin_xact_setup('0/2345', '2020-01-02 03:04:06+00');
insert into o values (2);
prepare transaction 'from one';
select pg_replication_origin_xact_setup('0/3456', '2020-01-02 03:04:07+00');
commit prepared 'from one';
select pg_replication_origin_session_reset();
select pg_replication_origin_advance('two', '0/5678');
select pg_replication_origin_advance('two', '0/4567');
select pg_replication_origin_advance('gone', '0/6789');
select pg_replication_origin_drop('gone');
checkpoint;
`)
	return w.err
}

// tablespaces come and go with tables and databases in them. Their directories
// are in place: a corpus is one directory.
func tablespaces(w *session) error {
	copied := w.from(15, "strategy file_copy")
	w.sql("postgres", `
create tablespace ts location '';
create tablespace gone location '';
create table inside (a int primary key, b text) tablespace ts;
insert into inside select g, 't' from generate_series(1, 60) g;
delete from inside where a > 30;
vacuum inside;
create table moved (a int) tablespace gone;
insert into moved select generate_series(1, 60);
alter table moved set tablespace ts;
alter table moved set tablespace pg_default;
drop tablespace gone;
create table dropped (a int) tablespace ts;
insert into dropped values (1);
drop table dropped;
`)
	w.sql("postgres", "create database in_ts tablespace ts "+copied)
	w.sql("in_ts", "create table y as select generate_series(1, 60) a; create table z (a int) tablespace pg_default; insert into z values (1);")
	w.sql("postgres", "create database in_ts_too template in_ts tablespace ts "+w.from(15, "strategy wal_log"))
	w.sql("in_ts", "drop table z;")
	w.sql("postgres", "alter database in_ts set tablespace pg_default;")
	w.sql("postgres", "alter database in_ts set tablespace ts;")
	w.sql("postgres", "drop database in_ts;")
	return w.err
}
