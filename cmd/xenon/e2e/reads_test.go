package e2e_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"xenon/core/wire"
)

// TestLinearizableReads stops the sidecar of an endpoint, its server running,
// while another takes the branch over and acknowledges a write. With
// linearizable reads the older server shows nobody the value from before. That
// available reads do is the control: the test can see it.
func TestLinearizableReads(t *testing.T) {
	for _, promise := range []struct {
		name  string
		args  []string
		stale bool
	}{
		{"linearizable", []string{"--reads", "linearizable", "--read-gate"}, false},
		{"available", nil, true},
	} {
		t.Run(promise.name, func(t *testing.T) {
			in := install(t, append([]string{"--processes"}, promise.args...)...)
			in.sql("CREATE TABLE held (v int); INSERT INTO held VALUES (1)")
			older := in.endpoint("main")
			reads := readOn(dial(t, older))
			eventually(t, "reads", func() bool { return reads.count() > 20 })

			if err := syscall.Kill(older.PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(older.PID, syscall.SIGCONT)
			in.must("endpoint", "start", "main", "--takeover")
			newer := in.newerThan(older)
			query(t, dial(t, newer), "UPDATE held SET v = 2")
			taken := time.Now()
			time.Sleep(time.Duration(sized(1, 5)) * time.Second)
			stale := reads.after(taken)
			if err := syscall.Kill(older.PID, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the older server to end", func() bool { return !existsProcess(older.Postmaster) })
			if !promise.stale {
				stale = reads.after(taken)
			}
			if stale > 0 != promise.stale {
				t.Errorf("%d reads that began after another server had acknowledged a newer value got the older one", stale)
			}
			t.Logf("%d reads, %d stale", reads.count(), stale)
		})
	}
}

// reads is a session that reads one value again and again.
type reads struct {
	mu    sync.Mutex
	begun []time.Time // of those that were answered
}

func readOn(s *wire.Client) *reads {
	r := new(reads)
	go func() {
		for {
			began := time.Now()
			res, err := s.Query("SELECT v FROM held")
			if err != nil || len(res.Rows) != 1 || string(res.Rows[0][0]) != "1" {
				return
			}
			r.mu.Lock()
			r.begun = append(r.begun, began)
			r.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
	}()
	return r
}

func (r *reads) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.begun)
}

// after counts the reads that began after a moment and saw the older value.
func (r *reads) after(moment time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.begun {
		if b.After(moment) {
			n++
		}
	}
	return n
}
