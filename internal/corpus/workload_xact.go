package corpus

import "fmt"

func xact(w *session) error {
	// Lockers of the same rows at the same time make multixacts.
	lockers := fmt.Sprintf(`
\set a random(1, %d)
begin;
select b from x where a = :a for key share;
select count(*) from (select b from x where a between :a and :a + 3 for share) s;
end;
`, w.rows)
	w.sql("postgres", `
create table x (a int primary key, b int);
insert into x select g, 0 from generate_series(1, ROWS) g;
begin;
insert into x values (-1, 1);
prepare transaction 'one';
begin;
update x set b = 1 where a = 1;
create table px (a int);
savepoint s;
insert into px values (1);
prepare transaction 'two';
checkpoint;
commit prepared 'one';
rollback prepared 'two';
do $$ begin for i in 1..100 loop begin insert into x values (10000 + i, i); exception when others then null; end; end loop; end $$;
`)
	w.attempt(`
begin;
do $$ begin for i in 1..50 loop begin insert into x values (20000 + i, i); if i % 3 = 0 then raise exception 'e'; end if; exception when others then null; end; end loop; end $$;
rollback;
`)
	w.clients(6, lockers)
	// A multixact for each row, of the transaction and one of its
	// subtransactions: more than a page of offsets has.
	w.sql("postgres", `
set wal_consistency_checking = '';  -- images of these changes would only be many
create table many (a int primary key, b int);
insert into many select g, 0 from generate_series(1, 2100) g;
begin;
select count(*) from (select * from many for key share) s;
do $$ begin for i in 1..2100 loop begin update many set b = 1 where a = i; exception when others then null; end; end loop; end $$;
commit;
`)
	start, stop := "pg_backup_start", "pg_backup_stop"
	if w.major < 15 {
		start, stop = "pg_start_backup", "pg_stop_backup"
	}
	w.sql("postgres", `
update x set b = b + 1 where a % 3 = 0;
-- past a page of pg_xact and a segment of pg_commit_ts
do $$ begin for i in 1..34000 loop perform txid_current(); commit; end loop; end $$;
select pg_create_restore_point('here');
select pg_switch_wal();
select pg_logical_emit_message(true, 'p', 'in a transaction');
select pg_logical_emit_message(false, 'p', repeat('m', 20000));
select `+start+`('b', true);
insert into x values (-5, 0);
select `+stop+`();
`)
	w.freezeAll()
	w.sql("postgres", "insert into x select g, 0 from generate_series(50000, 50040) g; update x set b = 9 where a > 50000;")
	w.attempt("begin; insert into x values (-7, 0); savepoint s; insert into x values (-8, 0); rollback;")
	w.clients(6, lockers) // after the last online checkpoint, which would tell the counters
	// One that stays prepared; before, it would have held the horizon back.
	w.sql("postgres", `
begin;
insert into x values (-2, 2);
savepoint s;
insert into x values (-3, 2);
prepare transaction 'stays';
`)
	return w.err
}
