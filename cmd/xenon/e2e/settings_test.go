package e2e_test

import (
	"strings"
	"testing"
)

// TestSettingThatKeepsAServerFromStarting: what ALTER SYSTEM took, and no server
// starts with, is named with the way out, and the way out works.
func TestSettingThatKeepsAServerFromStarting(t *testing.T) {
	in := install(t)
	in.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
	in.sql("ALTER SYSTEM SET work_mem = '7MB'")
	in.sql("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
	in.must("endpoint", "stop", "main")
	go in.xenon("endpoint", "start", "main") // waits until it is ready
	eventually(t, "the endpoint says what keeps it from starting", func() bool {
		note := in.endpoint("main").Note
		return strings.Contains(note, `could not access file "no_such_library"`) && strings.Contains(note, "xenon up -c NAME=VALUE")
	})
	in.must("stop")
	in.await()

	in.args = append(in.args, "-c", "shared_preload_libraries=")
	in.start()
	in.sql("ALTER SYSTEM RESET shared_preload_libraries")
	in.must("stop")
	in.await()

	in.args = in.args[:len(in.args)-2]
	in.start()
	if got := in.sql("SELECT current_setting('work_mem'), n FROM t"); got != "7MB|1" {
		t.Errorf("after the setting was taken back: %q", got)
	}
}

// TestPreparedThenForbidden: a branch of a moment at which there were prepared
// transactions starts, though there is room for none by today's settings, and
// they can be ended there.
func TestPreparedThenForbidden(t *testing.T) {
	in := install(t)
	in.sql("CREATE TABLE t (n int)")
	in.sql("ALTER SYSTEM SET max_prepared_transactions = 3")
	in.sql("ALTER SYSTEM SET max_connections = 120")
	in.must("endpoint", "stop", "main")
	in.psql("main", "BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'p'")
	then := in.sql("SELECT pg_current_wal_flush_lsn()")
	in.psql("main", "COMMIT PREPARED 'p'", "INSERT INTO t VALUES (2)")
	in.sql("ALTER SYSTEM RESET max_prepared_transactions")
	in.sql("ALTER SYSTEM RESET max_connections")
	in.must("endpoint", "stop", "main")
	if got := in.psql("main", "SELECT current_setting('max_prepared_transactions'), current_setting('max_connections')"); got != "0|100" {
		t.Fatalf("main has the settings %s", got)
	}
	in.must("branch", "create", "then", "--at", then)
	if got := in.psql("then", "SELECT gid, current_setting('max_connections') FROM pg_prepared_xacts"); !strings.Contains(got, "p|120") {
		t.Errorf("prepared on the branch: %q", got)
	}
	in.psql("then", "COMMIT PREPARED 'p'")
	if got := in.psql("then", "SELECT sum(n) FROM t"); !strings.Contains(got, "1") {
		t.Errorf("after the commit: %q", got)
	}
	in.must("endpoint", "stop", "then")
	if got := in.psql("then", "SELECT current_setting('max_prepared_transactions')"); !strings.Contains(got, "0") {
		t.Errorf("without a prepared transaction there is room for %q", got)
	}
}
