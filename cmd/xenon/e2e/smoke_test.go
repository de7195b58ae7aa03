package e2e_test

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestUp is what a person does first: start, write, kill everything, start
// again, stop.
func TestUp(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.sql("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)")
			if out, err := exec.Command(bin(t), "up", "--dir", in.dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "pid "+strconv.Itoa(in.up.Process.Pid)) {
				t.Errorf("a second up: %v, %s; want an error that names pid %d", err, out, in.up.Process.Pid)
			}
			in.killEverything()
			if len(in.segments) == 0 {
				t.Error("no shared memory was found: nothing can be said about what is left")
			}
			in.start()
			if got := in.sql("SELECT count(*), sum(n) FROM t"); got != "1000|500500" {
				t.Errorf("after kill -9 of everything: %s", got)
			}
			if got := in.must("psql", "main", "-c", "SELECT 7 * 6"); !strings.Contains(got, "42") {
				t.Errorf("xenon psql: %s", got)
			}
			in.must("stop")
			if status := in.await(); status != 0 {
				t.Errorf("up exits with %d after stop", status)
			}
			in.must("stop") // of a stopped one
			if _, err := in.xenon("status"); err == nil || !strings.Contains(err.Error(), "start it with xenon up") {
				t.Errorf("status of a stopped one: %v", err)
			}
			in.nothingLeft()
		})
	}
}

// layouts are the two ways to run an installation.
var layouts = []struct {
	name string
	args []string
}{{"one process", nil}, {"processes", []string{"--processes"}}}
