package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core/wire"
)

// A quorum is three safekeepers of which a test can take two away and give
// one back.
type quorum struct {
	endpoint func() ctl.Endpoint
	lose     func()
	regain   func()
}

// TestQuorumPaused stops two of three safekeepers, and what waits for them.
func TestQuorumPaused(t *testing.T) {
	in := install(t, "--processes")
	var paused []int
	q := quorum{
		endpoint: func() ctl.Endpoint { return in.endpoint("main") },
		lose: func() {
			paused = nil
			for _, k := range in.status().Safekeepers[1:] {
				freeze(t, k.PID)
				paused = append(paused, k.PID)
			}
		},
		regain: func() { syscall.Kill(paused[0], syscall.SIGCONT) },
	}
	in.sql(ledgerTable)
	q.waits(t)
	syscall.Kill(paused[1], syscall.SIGCONT)

	// A stop meanwhile ends within its bounds, and nothing that was
	// acknowledged is lost.
	load := in.write(1, 4)
	eventually(t, "load", func() bool { return load.rows() > 20 })
	q.lose()
	in.noteSegments()
	began := time.Now()
	in.must("stop")
	if took, bound := time.Since(began), time.Duration(sized(90, 30))*time.Second; took > bound {
		t.Errorf("stop took %v, want less than %v", took, bound)
	}
	if status := in.await(); status != 0 {
		t.Errorf("up exits with %d after stop", status)
	}
	load.running.Wait()
	in.nothingLeft()
	in.start()
	load.check()
	q.keepsSettings(t)
	in.killEverything()
	in.start()
	load.check()
	q.keepsSettings(t)
}

// TestQuorumKilled is the same with roles that were started by hand, of which
// two are killed and one is started again.
func TestQuorumKilled(t *testing.T) {
	in := install(t, "--processes")
	in.must("stop")
	in.await()
	roles := in.runRoles()
	q := quorum{
		endpoint: roles.endpoint,
		lose:     func() { roles.kill("safekeeper-2"); roles.kill("safekeeper-3") },
		regain:   func() { roles.run("safekeeper-2") },
	}
	q.waits(t)
	roles.run("safekeeper-3")
	roles.terminate("compute-main")
	roles.run("compute-main")
	q.keepsSettings(t)
}

func query(t *testing.T, s *wire.Client, sql string) string {
	t.Helper()
	r, err := s.Query(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(r.Rows) == 0 {
		return ""
	}
	return string(r.Rows[0][0])
}

// waits takes a majority away under a commit, and checks that nothing but its
// return ends the wait or shows the row.
func (q quorum) waits(t *testing.T) {
	t.Helper()
	e := q.endpoint()
	s := dial(t, e)
	query(t, s, "CREATE TABLE stalled (n int); CREATE TABLE other AS SELECT generate_series(1, 1000) AS n")
	query(t, s, "CREATE TABLE bulk (client int, n int, bytes bytea); ALTER TABLE bulk ALTER bytes SET STORAGE EXTERNAL")
	for _, set := range []string{"fsync = off", "wal_sync_method = open_datasync", "work_mem = '77MB'"} {
		query(t, s, "ALTER SYSTEM SET "+set)
	}
	query(t, s, "SELECT pg_reload_conf()")
	eventually(t, "the reload", func() bool { return query(t, s, "SHOW work_mem") == "77MB" })
	q.keepsSettings(t)

	waiting := dial(t, e)
	pid := query(t, waiting, "SELECT pg_backend_pid()")
	query(t, waiting, "SET statement_timeout = '300ms'")
	clients := make([]*wire.Client, 8)
	for c := range clients {
		clients[c] = dial(t, e)
	}
	q.lose()
	ended := make(chan error, 1)
	go func() {
		_, err := waiting.Query("INSERT INTO stalled VALUES (1)")
		ended <- err
	}()
	eventually(t, "the INSERT to wait for the quorum", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("the INSERT ended without a quorum: %v", err)
		default:
		}
		return query(t, s, "SELECT wait_event FROM pg_stat_activity WHERE pid = "+pid) == "WALSync"
	})
	torment(t, s, pid)
	if got := query(t, s, "SELECT count(*) FROM stalled"); got != "0" {
		t.Errorf("%s rows are visible that no quorum has", got)
	}
	if got := query(t, s, "SELECT sum(n) FROM other"); got != "500500" {
		t.Errorf("another table reads %s", got)
	}
	wrote := writeBulk(t, clients, sized(1, 12))
	time.Sleep(time.Duration(sized(2, 10)) * time.Second)
	select {
	case err := <-ended:
		t.Fatalf("the INSERT ended without a quorum: %v", err)
	default:
	}

	q.regain()
	select {
	case err := <-ended:
		t.Logf("the INSERT ended with: %v", err)
	case <-time.After(patience):
		t.Fatal("the INSERT goes on to wait")
	}
	rows := wrote()
	if got := query(t, s, "SELECT count(*) FROM stalled"); got != "1" {
		t.Errorf("%s rows are visible once a quorum has one", got)
	}
	if got := query(t, s, "SELECT count(*) FROM bulk"); got != strconv.Itoa(rows) {
		t.Errorf("%s rows of bulk, want %d", got, rows)
	}
}

// torment cancels, terminates and signals a backend that waits for the quorum.
func torment(t *testing.T, s *wire.Client, pid string) {
	t.Helper()
	query(t, s, "SELECT pg_cancel_backend("+pid+")")
	query(t, s, "SELECT pg_terminate_backend("+pid+")")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGALRM, syscall.SIGURG}
	for range 1000 {
		if err := syscall.Kill(n, signals[rand.IntN(len(signals))]); err != nil {
			t.Fatalf("signal backend %d: %v", n, err)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// writeBulk has every client write so many megabytes; what it returns waits
// for them, none of which may fail, and tells how many rows they wrote.
func writeBulk(t *testing.T, clients []*wire.Client, megabytes int) func() (rows int) {
	const perMegabyte = 128 // rows of 8 KiB
	errs := make([]error, len(clients))
	var running sync.WaitGroup
	for c, s := range clients {
		running.Go(func() {
			for range megabytes {
				_, err := s.Query(fmt.Sprintf(`INSERT INTO bulk SELECT %d, g, decode(string_agg(md5(random()::text || g), ''), 'hex')
					FROM generate_series(1, %d) g, generate_series(1, 512) GROUP BY g`, c, perMegabyte))
				if err != nil {
					errs[c] = err
					return
				}
			}
		})
	}
	return func() int {
		t.Helper()
		running.Wait()
		for c, err := range errs {
			if err != nil {
				t.Errorf("client %d: %v", c, err)
			}
		}
		return len(clients) * megabytes * perMegabyte
	}
}

// keepsSettings checks that what commits rest on cannot be changed, and that
// other settings are kept.
func (q quorum) keepsSettings(t *testing.T) {
	t.Helper()
	s := dial(t, q.endpoint())
	defer s.Close()
	for _, want := range [][2]string{{"fsync", "on"}, {"wal_sync_method", "fdatasync"}, {"work_mem", "77MB"}} {
		if got := query(t, s, "SHOW "+want[0]); got != want[1] {
			t.Errorf("%s is %s, want %s", want[0], got, want[1])
		}
	}
}
