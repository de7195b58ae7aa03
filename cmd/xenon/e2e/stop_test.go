package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopDuringStart asks xenon up to stop at any moment of its start: it ends
// without an error, and leaves nothing.
func TestStopDuringStart(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.sql("CREATE TABLE t AS SELECT 1 AS n")
			in.must("stop")
			in.await()
			for n := range sized(6, 40) {
				if _, err := in.launch(); err != nil {
					t.Fatal(err)
				}
				// Before it takes signals, the first one just kills it.
				eventually(t, "xenon up", func() bool { return len(in.lockHolder()) > 0 })
				time.Sleep(time.Duration(n) * 1500 * time.Millisecond / time.Duration(sized(6, 40)))
				in.signal([]syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[n%2])
				if status := in.await(); status != 0 {
					t.Fatalf("stop number %d: exit status %d\n%s", n, status, in.log)
				}
				in.nothingLeft()
			}
			in.start()
			if got := in.sql("SELECT n FROM t"); got != "1" {
				t.Errorf("after all that: %s", got)
			}
		})
	}
}

// lockHolder is what the installation's lock says, if xenon up that was
// launched last has written it.
func (in *installation) lockHolder() string {
	b, err := os.ReadFile(filepath.Join(in.dir, "lock"))
	if pid := strings.TrimSpace(string(b)); err == nil && pid == strconv.Itoa(in.up.Process.Pid) {
		return pid
	}
	return ""
}

// TestSecondSignal stops xenon up while a commit waits for a majority that is
// away: the first signal waits for it, the second does not.
func TestSecondSignal(t *testing.T) {
	in := install(t, "--processes")
	in.sql(ledgerTable)
	load := in.write(1, 4)
	eventually(t, "load", func() bool { return load.rows() > 20 })
	for _, k := range in.status().Safekeepers[1:] {
		freeze(t, k.PID)
	}
	e := in.endpoint("main")
	in.signal(syscall.SIGINT)
	eventually(t, "the shutdown to begin", func() bool { return in.endpoint("main").State == "stopping" })
	if !existsProcess(e.Postmaster) {
		t.Error("the server was ended at the first signal")
	}
	in.signal(syscall.SIGINT)
	if status := in.await(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	load.running.Wait()
	in.nothingLeft()
	in.start()
	load.check()
}
