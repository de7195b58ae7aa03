package corpus

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// hints changes pages by hints alone, with and without images of first
// touches. The corpus should have been made with HintsLogged or Checksums.
func hints(w *session) error {
	w.sql("postgres", `
create table hi (a int primary key, b int);
insert into hi select g, 0 from generate_series(1, ROWS) g;
checkpoint;
select count(*) from hi where b = 0;   -- hints of a page that was not touched since
vacuum hi;
`)
	w.fullPageWrites("on", "t")
	w.sql("postgres", `
update hi set b = 1 where a % 3 = 0;
checkpoint;
select count(*) from hi where b = 0;
delete from hi where a % 7 = 0;
checkpoint;
set enable_seqscan = off;
select count(*) from hi where a between 1 and ROWS;
vacuum hi;
`)
	w.fullPageWrites("off", "f")
	w.sql("postgres", "update hi set b = 2 where a % 5 = 0; vacuum (freeze) hi;")
	return w.err
}

// fullPageWrites switches the setting in the running server and waits until a
// checkpoint says so: the process that writes the record takes its time.
func (w *session) fullPageWrites(setting, told string) {
	w.set("full_page_writes = " + setting)
	w.sql("postgres", "select pg_reload_conf();")
	for w.err == nil && strings.TrimSpace(w.query("postgres", "select full_page_writes from pg_control_checkpoint()")) != told {
		w.sql("postgres", "select pg_sleep(0.02); checkpoint;")
	}
}

// crash stops the server as a power cut would, in the middle of transactions,
// and once loses the end of its WAL within a record.
func crash(w *session) error {
	w.sql("postgres", `
create table c (a int primary key, b int);
insert into c select g, 0 from generate_series(1, ROWS) g;
create unlogged table cu (a int primary key);
insert into cu select generate_series(1, 50);
begin;
update c set b = 5 where a = 5;
prepare transaction 'before the crash';
`)
	done := w.behind("begin; update c set b = 1 where a % 2 = 0; create table never (a int); select pg_sleep(600);")
	w.sql("postgres", "select pg_sleep(0.3); update c set b = 2 where a % 2 = 1 and a > 5;")
	w.restart("immediate")
	done()
	w.sql("postgres", `
commit prepared 'before the crash';
insert into cu select generate_series(1, 20);
checkpoint;
select pg_switch_wal();
create table oc (a int);
insert into oc select generate_series(1, 100);
select pg_logical_emit_message(false, 'big', repeat('b', 6000000));  -- crosses the end of a segment
`)
	last := strings.TrimSpace(w.query("postgres", "select pg_walfile_name(pg_current_wal_lsn())"))
	if w.err == nil {
		w.err = w.s.stop(w.ctx, w.data, "immediate")
	}
	if w.err == nil {
		w.err = os.Remove(filepath.Join(w.data, "pg_wal", last))
	}
	if w.err == nil {
		w.err = w.s.start(w.ctx, w.data)
	}
	w.sql("postgres", "insert into oc select generate_series(1, 100); update c set b = 3 where a < 20;")
	return w.err
}

// promote makes the server a standby of nobody and then a primary again, on a
// new timeline of PostgreSQL's.
func promote(w *session) error {
	w.sql("postgres", `
create table p (a int primary key, b text);
insert into p select g, 'a' from generate_series(1, ROWS) g;
`)
	if w.err == nil {
		w.err = w.s.stop(w.ctx, w.data, "fast")
	}
	if w.err == nil {
		w.err = w.s.appendFile(filepath.Join(w.data, "standby.signal"), "")
	}
	if w.err == nil {
		w.err = w.s.start(w.ctx, w.data)
	}
	if w.err == nil {
		_, w.err = w.s.run(w.ctx, "pg_ctl", "-D", w.data, "-s", "-w", "-t", "600", "promote")
	}
	w.sql("postgres", `
update p set b = 'c' where a % 3 = 0;
checkpoint;
delete from p where a % 5 = 0;
vacuum p;
`)
	return w.err
}

// behind runs a script in a session of its own until its server goes; the
// function it returns waits for that.
func (w *session) behind(script string) func() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.s.runInput(w.ctx, script, "psql", "-X", "-q", "-f", "-") // its server is stopped under it
	}()
	return func() {
		select {
		case <-ended:
		case <-time.After(10 * time.Minute):
			w.err = os.ErrDeadlineExceeded
		}
	}
}
