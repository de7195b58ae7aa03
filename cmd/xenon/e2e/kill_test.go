package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
)

// A victim is what a test kills under load.
type victim struct {
	name string
	kill func(in *installation, e ctl.Endpoint)
	// goes tells that the kill takes xenon up with it in this layout.
	goes func(processes bool) bool
}

var victims = []victim{
	{"a backend", killBackend, never},
	{"the postmaster", func(in *installation, e ctl.Endpoint) { kill(in.t, e.Postmaster) }, never},
	{"the warden", func(in *installation, e ctl.Endpoint) { kill(in.t, e.Warden) }, never},
	{"the sidecar", func(in *installation, e ctl.Endpoint) { kill(in.t, e.PID) }, func(processes bool) bool { return !processes }},
	{"everything", func(in *installation, e ctl.Endpoint) { in.killEverything() }, func(bool) bool { return true }},
}

func never(bool) bool { return false }

func kill(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("nobody to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// killBackend kills one of the sessions that write.
func killBackend(in *installation, e ctl.Endpoint) {
	in.t.Helper()
	pids := strings.Fields(in.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND query LIKE 'INSERT INTO ledger%'"))
	if len(pids) == 0 {
		in.t.Fatal("no session writes")
	}
	pid, _ := strconv.Atoi(pids[rand.IntN(len(pids))])
	kill(in.t, pid)
}

// TestKill kills, at random moments under load, whatever there is to kill.
// Whoever was told that his row is there finds it there.
func TestKill(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.sql(ledgerTable)
			in.pgbenchInit(1)
			first := 0
			for _, v := range victims {
				for round := range sized(2, 20) {
					first += 10
					what := fmt.Sprintf("%s, round %d", v.name, round)
					in.killRound(what, v, v.goes(len(layout.args) > 0), first)
					if t.Failed() {
						t.Fatalf("after the kill of %s", what)
					}
				}
			}
			e := in.endpoint("main")
			if out, err := in.pg("pg_amcheck", "--all", "--install-missing", "-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			in.must("stop")
			in.nothingLeft()
		})
	}
}

// killRound kills v once, under load of clients that are numbered from first
// on, and checks what must hold then.
func (in *installation) killRound(what string, v victim, goes bool, first int) {
	in.t.Helper()
	e := in.endpoint("main")
	load := in.write(first, 4)
	awaitBench := in.benchLoad(2)
	rows := follow(dial(in.t, e))
	answers := ask(dial(in.t, e), "SELECT count(*) FROM pgbench_tellers")
	eventually(in.t, "load", func() bool { return load.rows() > 20 && rows.count() > 0 && answers.count() > 0 })
	time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)

	in.noteSegments()
	old := in.segments
	in.segments = nil
	began := time.Now()
	v.kill(in, e)
	rows.checkEnd(in.t, "a running query, "+what, began)
	answers.checkEnd(in.t, "an open session, "+what, began)
	load.running.Wait()
	awaitBench()

	if goes {
		<-in.done
		in.done <- fmt.Errorf("killed: %s", what)
		if v.name != "everything" {
			in.goneAlone(what, e, old)
		}
		in.start()
	} else {
		eventually(in.t, "another server, "+what, func() bool {
			now := in.endpoint("main")
			return now.State == "ready" && now.Term > e.Term
		})
		in.noteSegments()
	}
	in.oldIsGone(what, e, old)
	load.check()
	in.checkSums()
}

// goneAlone waits until what a killed xenon up left has gone by itself.
func (in *installation) goneAlone(what string, e ctl.Endpoint, old map[segment]bool) {
	in.t.Helper()
	eventually(in.t, "the end of what is left, "+what, func() bool {
		return len(in.mounts()) == 0 && len(in.processes()) == 0 && !existsProcess(e.Warden)
	})
	in.oldIsGone(what, e, old)
	if s := in.sockets(); len(s) > 0 {
		in.t.Errorf("%s: sockets are left: %v", what, s)
	}
}

// oldIsGone checks that nothing is left of a server that ended.
func (in *installation) oldIsGone(what string, e ctl.Endpoint, old map[segment]bool) {
	in.t.Helper()
	for _, pid := range []int{e.Warden, e.Postmaster} {
		if existsProcess(pid) {
			in.t.Errorf("%s: process %d lives on", what, pid)
		}
	}
	if len(old) == 0 {
		in.t.Errorf("%s: no shared memory was found before", what)
	}
	for s := range old {
		if s.exists(in.t) {
			in.t.Errorf("%s: shared memory %s is left", what, s)
		}
	}
	if m := in.mounts(); len(m) > 2 {
		in.t.Errorf("%s: mounts are left: %v", what, m)
	}
}

// existsProcess tells whether a process has not ended; a zombie has.
func existsProcess(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, _, lives := family(string(b))
	return lives
}
