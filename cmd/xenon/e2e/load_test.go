package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/core/wire"
	"xenon/realio"
)

// ledgerTable holds what clients wrote: each its own numbers, from 1 on.
const ledgerTable = "CREATE TABLE ledger (client int, n int, note text, PRIMARY KEY (client, n))"

// A ledger is what the outside knows of the rows of a few clients: client c
// writes (c, 1), (c, 2), … one transaction each, and says n only after the
// acknowledgement; a reader says what it saw.
type ledger struct {
	in      *installation
	first   int // client
	clients int

	running sync.WaitGroup
	halt    chan struct{}

	mu    sync.Mutex
	acked map[int]int // client: the highest n acknowledged
	seen  map[int]int // client: the highest n that the reader saw
	errs  []error     // how writers ended, unless they were told to
}

// write starts clients that write, and one that reads, until they lose their
// connections or the ledger is closed. First numbers the clients; each may
// write only once in its life.
func (in *installation) write(first, clients int) *ledger {
	in.t.Helper()
	return in.writeOn("main", first, clients)
}

// writeOn is write on a branch.
func (in *installation) writeOn(branch string, first, clients int) *ledger {
	in.t.Helper()
	l := &ledger{in: in, first: first, clients: clients, halt: make(chan struct{}), acked: map[int]int{}, seen: map[int]int{}}
	e := in.endpoint(branch)
	for c := first; c < first+clients; c++ {
		s := dial(in.t, e)
		l.running.Go(func() { l.writer(s, c) })
	}
	s := dial(in.t, e)
	l.running.Go(func() { l.reader(s) })
	in.t.Cleanup(l.close)
	return l
}

func (l *ledger) writer(s *wire.Client, client int) {
	defer s.Close()
	for n := 1; !l.halted(); n++ {
		_, err := s.Query(fmt.Sprintf("INSERT INTO ledger VALUES (%d, %d)", client, n))
		l.mu.Lock()
		if err == nil {
			l.acked[client] = n
		} else {
			l.errs = append(l.errs, fmt.Errorf("client %d, row %d: %w", client, n, err))
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (l *ledger) reader(s *wire.Client) {
	defer s.Close()
	for !l.halted() {
		for c := l.first; c < l.first+l.clients; c++ {
			r, err := s.Query(fmt.Sprintf("SELECT max(n) FROM ledger WHERE client = %d", c))
			if err != nil {
				return
			}
			n, _ := strconv.Atoi(string(r.Rows[0][0]))
			l.mu.Lock()
			l.seen[c] = max(l.seen[c], n)
			l.mu.Unlock()
		}
	}
}

func (l *ledger) halted() bool {
	select {
	case <-l.halt:
		return true
	default:
		return false
	}
}

// rows is how many rows were acknowledged, of all clients.
func (l *ledger) rows() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.acked {
		n += a
	}
	return n
}

// failures is how writers ended that were not told to.
func (l *ledger) failures() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}

// close tells the clients to end, and waits until they have.
func (l *ledger) close() {
	if !l.halted() {
		close(l.halt)
	}
	l.running.Wait()
}

// check compares the table with what the clients know: every row that was
// acknowledged or seen is there, none is missing before it, and no more than
// the one that was under way is there beyond.
func (l *ledger) check() {
	l.in.t.Helper()
	l.checkOn(l.in.endpoint("main"))
}

func (l *ledger) checkOn(e ctl.Endpoint) {
	l.in.t.Helper()
	s := dial(l.in.t, e)
	defer s.Close()
	for c := l.first; c < l.first+l.clients; c++ {
		r, err := s.Query(fmt.Sprintf("SELECT count(*), coalesce(max(n), 0), coalesce(min(n), 1) FROM ledger WHERE client = %d", c))
		if err != nil {
			l.in.t.Fatal(err)
		}
		count, _ := strconv.Atoi(string(r.Rows[0][0]))
		highest, _ := strconv.Atoi(string(r.Rows[0][1]))
		if count != highest || string(r.Rows[0][2]) != "1" {
			l.in.t.Errorf("client %d has %d rows up to %d", c, count, highest)
		}
		if highest < l.acked[c] || highest < l.seen[c] || highest > l.acked[c]+1 {
			l.in.t.Errorf("client %d has rows up to %d; %d was acknowledged, %d was seen", c, highest, l.acked[c], l.seen[c])
		}
	}
}

// dial opens a session on an endpoint over its private socket; whoever gets it
// closes it.
func dial(t *testing.T, e ctl.Endpoint) *wire.Client {
	t.Helper()
	env := realio.New(realio.Options{})
	t.Cleanup(func() { env.Close() })
	c, err := wire.Connect(context.Background(), env, fmt.Sprintf("unix:%s/.s.PGSQL.%d", e.SocketDir, e.Port),
		wire.ClientConfig{User: "postgres", Database: "postgres", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A stream is a query whose rows come one after the other, or the same question
// asked again and again: what a session sees of its server.
type stream struct {
	ended chan struct{}
	mu    sync.Mutex
	last  time.Time // when the last row came
	rows  int
	err   error
}

// longQuery gives a row every few milliseconds, so long that the server sends
// each of them at once, and never ends.
const longQuery = "SELECT repeat('x', 8192), pg_sleep(0.005) FROM generate_series(1, 1000000)"

// follow runs the long query.
func follow(s *wire.Client) *stream {
	f := &stream{ended: make(chan struct{})}
	s.Queue('Q', append([]byte(longQuery), 0))
	err := s.Flush()
	go f.run(func() error {
		if err != nil {
			return err
		}
		for {
			kind, _, err := s.ReadMessage()
			switch {
			case err != nil:
				return err
			case kind == 'D':
				return nil
			case kind == 'E' || kind == 'C':
				return fmt.Errorf("the query ended with message %q", kind)
			}
		}
	})
	return f
}

// ask runs a query again and again.
func ask(s *wire.Client, sql string) *stream {
	f := &stream{ended: make(chan struct{})}
	go f.run(func() error {
		time.Sleep(2 * time.Millisecond)
		_, err := s.Query(sql)
		return err
	})
	return f
}

func (f *stream) run(row func() error) {
	defer close(f.ended)
	for {
		err := row()
		f.mu.Lock()
		if err != nil {
			f.err = err
			f.mu.Unlock()
			return
		}
		f.last, f.rows = time.Now(), f.rows+1
		f.mu.Unlock()
	}
}

// count is how many rows have come.
func (f *stream) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows
}

// checkEnd waits until the stream has ended, and checks that no row came later
// than a second after the instant. (Small sizes run on machines that do other
// things as well, and allow three.)
func (f *stream) checkEnd(t *testing.T, what string, after time.Time) {
	t.Helper()
	select {
	case <-f.ended:
	case <-time.After(patience):
		t.Fatalf("%s does not end", what)
	}
	bound := time.Duration(sized(3, 1)) * time.Second
	if late := f.last.Sub(after); late > bound {
		t.Errorf("%s: a row came %v after the kill", what, late)
	}
	if f.rows == 0 {
		t.Errorf("%s saw no row at all: %v", what, f.err)
	}
}

// pgbench makes its tables.
func (in *installation) pgbenchInit(scale int) {
	in.t.Helper()
	if out, err := in.pg("pgbench", "-i", "-q", "-s", strconv.Itoa(scale), in.url); err != nil {
		in.t.Fatalf("%v\n%s", err, out)
	}
}

// benchLoad runs pgbench in the background for as long as its server lives.
func (in *installation) benchLoad(clients int) (wait func()) {
	in.t.Helper()
	name, err := in.dist.Path("pgbench")
	if err != nil {
		in.t.Fatal(err)
	}
	cmd := exec.Command(name, "-n", "-c", strconv.Itoa(clients), "-T", "600", in.url)
	cmd.Env = append(pgdist.Environ(pgdist.User{Name: "postgres"}), "PGPASSFILE="+filepath.Join(in.dir, "pgpass"))
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	return func() {
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			<-ended
			in.t.Error("pgbench did not end with its server")
		}
	}
}

// checkSums checks what pgbench promises: every delta was applied to an
// account, a teller and a branch, and is in the history.
func (in *installation) checkSums() {
	in.t.Helper()
	got := in.sql(`SELECT count(DISTINCT s) FROM (SELECT sum(abalance) AS s FROM pgbench_accounts
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches
		UNION ALL SELECT coalesce(sum(delta), 0) FROM pgbench_history) AS sums`)
	if got != "1" {
		in.t.Errorf("the sums of pgbench's tables differ: %s", in.sql(`SELECT (SELECT sum(abalance) FROM pgbench_accounts),
			(SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)`))
	}
}
