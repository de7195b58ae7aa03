package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
)

// TestNodesFail runs pgbench while a safekeeper is killed and the pageserver
// is paused: clients notice neither.
func TestNodesFail(t *testing.T) {
	in := install(t, "--processes")
	in.pgbenchInit(sized(2, 10))
	for _, test := range []struct {
		name   string
		victim func(ctl.Status) ctl.Safekeeper
	}{
		{"the freshest safekeeper dies", freshest},
		{"another safekeeper dies", stalest},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := count(t, in, "pgbench_history")
			seconds := sized(8, 60)
			bench := startBench(t, in, 8, seconds)
			time.Sleep(time.Duration(seconds) * time.Second / 4)

			dead := test.victim(in.status())
			kill(t, dead.PID)
			eventually(t, "the safekeeper's restart", func() bool {
				now := safekeeperOf(in.status(), dead)
				return now.State == "running" && now.PID != dead.PID && len(now.Timelines) > 0
			})
			pageserver := in.status().Pageservers[0].PID
			pause(t, pageserver, time.Duration(sized(2, 5))*time.Second)

			done := bench()
			if n := count(t, in, "pgbench_history") - before; n != done || done == 0 {
				t.Errorf("pgbench says it did %d transactions, %d are there", done, n)
			}
			in.checkSums()
			eventually(t, "the restarted safekeeper to have everything", func() bool {
				s := in.status()
				return safekeeperOf(s, dead).Timelines[0].CommitLSN >= s.Branches[0].CommitLSN
			})
		})
	}
}

// freshest is the safekeeper that has flushed most, stalest the one that has
// least.
func freshest(s ctl.Status) ctl.Safekeeper { return slices.MaxFunc(s.Safekeepers, byFlush) }
func stalest(s ctl.Status) ctl.Safekeeper  { return slices.MinFunc(s.Safekeepers, byFlush) }

func byFlush(a, b ctl.Safekeeper) int {
	return int(int64(a.Timelines[0].FlushLSN) - int64(b.Timelines[0].FlushLSN))
}

func safekeeperOf(s ctl.Status, k ctl.Safekeeper) ctl.Safekeeper {
	return s.Safekeepers[slices.IndexFunc(s.Safekeepers, func(o ctl.Safekeeper) bool { return o.ID == k.ID })]
}

// pause stops a process for a while.
func pause(t *testing.T, pid int, d time.Duration) {
	t.Helper()
	freeze(t, pid)
	time.Sleep(d)
	syscall.Kill(pid, syscall.SIGCONT)
}

// freeze stops a process until the end of the test, or SIGCONT.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("nobody to pause")
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
	// The signal goes to one thread, which stops the others: while that one waits
	// for a disk, or for a processor, they run on.
	eventually(t, fmt.Sprintf("all threads of %d to stand still", pid), func() bool { return standsStill(t, pid) })
}

// standsStill tells whether all threads of a process are stopped (proc(5)).
func standsStill(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %d: %v", pid, err)
	}
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		// The state follows the name, which is in parentheses and may hold others.
		if _, state, ok := strings.Cut(string(stat[max(0, strings.LastIndex(string(stat), ")")):]), ") "); !ok || state[0] != 'T' {
			return false
		}
	}
	return true
}

func count(t *testing.T, in *installation, table string) int {
	t.Helper()
	n, err := strconv.Atoi(in.sql("SELECT count(*) FROM " + table))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var (
	benchDone   = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	benchFailed = regexp.MustCompile(`number of failed transactions: (\d+)`)
)

// startBench runs pgbench for some seconds; what it returns waits for the end
// and tells how many transactions were done. None may fail.
func startBench(t *testing.T, in *installation, clients, seconds int) func() int {
	t.Helper()
	name, err := in.dist.Path("pgbench")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "-n", "-c", strconv.Itoa(clients), "-T", strconv.Itoa(seconds), in.url)
	cmd.Env = append(pgdist.Environ(pgdist.User{Name: "postgres"}), "PGPASSFILE="+filepath.Join(in.dir, "pgpass"))
	type result struct {
		out []byte
		err error
	}
	ended := make(chan result, 1)
	go func() {
		out, err := cmd.CombinedOutput()
		ended <- result{out, err}
	}()
	return func() int {
		t.Helper()
		r := <-ended
		done, failed := benchDone.FindSubmatch(r.out), benchFailed.FindSubmatch(r.out)
		if r.err != nil || done == nil || failed == nil || string(failed[1]) != "0" {
			t.Fatalf("pgbench: %v\n%s", r.err, r.out)
		}
		n, _ := strconv.Atoi(string(done[1]))
		t.Logf("pgbench: %d transactions in %d s", n, seconds)
		return n
	}
}
