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
