package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/wire"
	"xenon/linearizability"
	"xenon/realio"
)

// keysTable is a store of values by key.
const keysTable = "CREATE TABLE keys (key text PRIMARY KEY, value text NOT NULL)"

// A keyed is clients of several servers of one branch, of which one at a time
// should run it: each client asks whichever it reaches, and all that they were
// told goes into one history.
type keyed struct {
	t       *testing.T
	env     *realio.Env
	servers []string // sockets
	started time.Time
	halt    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	history  linearizability.History
	acked    int
	byServer map[string]int // answers of each
	unknown  int
	problems map[string]int // what servers said
}

// epoch is how long a set of keys is used: a history of one key that is too
// long takes too long to judge.
const epoch = 15 * time.Second

const keysOfEpoch = 6

// opPatience bounds a call: after it its outcome is unknown.
const opPatience = 4 * time.Second

// useKeys starts clients of the servers on the sockets.
func useKeys(t *testing.T, clients int, sockets ...string) *keyed {
	env := realio.New(realio.Options{})
	k := &keyed{t: t, env: env, servers: sockets, started: time.Now(), halt: make(chan struct{}), byServer: map[string]int{}, problems: map[string]int{}}
	for c := range clients {
		k.running.Go(func() { k.client(c, rand.New(rand.NewPCG(uint64(c), 1))) })
	}
	t.Cleanup(func() {
		k.close()
		env.Close()
	})
	return k
}

func (k *keyed) now() env.Instant { return env.Instant(time.Since(k.started)) }

func (k *keyed) halted() bool {
	select {
	case <-k.halt:
		return true
	default:
		return false
	}
}

// close ends the clients.
func (k *keyed) close() {
	if !k.halted() {
		close(k.halt)
	}
	k.running.Wait()
}

// client asks one server after the other, each for as long as it answers, but
// not for ever: a server that answers may be one that should not.
func (k *keyed) client(c int, r *rand.Rand) {
	for n := 0; !k.halted(); {
		socket := k.servers[r.IntN(len(k.servers))]
		s, err := k.connect(socket)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		for until := time.Now().Add(time.Duration(r.IntN(5000)) * time.Millisecond); time.Now().Before(until) && !k.halted(); n++ {
			if k.call(s, socket, c, k.op(c, n, r)) != nil {
				break
			}
			time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		}
		s.Close()
	}
}

func (k *keyed) connect(socket string) (*wire.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opPatience)
	defer cancel()
	return wire.Connect(ctx, k.env, "unix:"+socket, wire.ClientConfig{User: "postgres", Database: "postgres", Timeout: opPatience})
}

// op is what a client asks for: every value that it writes is its own.
func (k *keyed) op(c, n int, r *rand.Rand) linearizability.Op {
	op := linearizability.Op{
		Key:   fmt.Sprintf("e%d-%d", time.Since(k.started)/epoch, r.IntN(keysOfEpoch)),
		Value: fmt.Sprintf("%d.%d ", c, n),
	}
	switch r.IntN(8) {
	case 0, 1, 2, 3:
		return linearizability.Op{Kind: linearizability.Get, Key: op.Key}
	case 4, 5, 6:
		op.Kind = linearizability.Put
	default:
		op.Kind = linearizability.Append
	}
	return op
}

// call carries out one operation and notes what came of it.
func (k *keyed) call(s *wire.Client, socket string, client int, op linearizability.Op) error {
	k.mu.Lock()
	call := k.history.Begin(client, op, k.now())
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), opPatience)
	defer cancel()
	stop := wire.CloseOn(ctx, s)
	value, err := carryOut(s, op)
	stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.history.Return(call, linearizability.Result{Value: value}, k.now())
		k.acked++
		k.byServer[socket]++
	case op.Kind == linearizability.Get:
		k.history.Fail(call, k.now())
	default:
		k.history.Unknown(call, k.now())
		k.unknown++
	}
	var said *wire.Error
	if errors.As(err, &said) {
		k.problems[said.Error()]++
	}
	return err
}

// carryOut is an operation in SQL, each a transaction of its own.
func carryOut(s *wire.Client, op linearizability.Op) (value string, err error) {
	sql := ""
	switch op.Kind {
	case linearizability.Get:
		sql = fmt.Sprintf("SELECT value FROM keys WHERE key = '%s'", op.Key)
	case linearizability.Put:
		sql = fmt.Sprintf("INSERT INTO keys VALUES ('%s', '%s') ON CONFLICT (key) DO UPDATE SET value = excluded.value", op.Key, op.Value)
	case linearizability.Append:
		sql = fmt.Sprintf("INSERT INTO keys VALUES ('%s', '%s') ON CONFLICT (key) DO UPDATE SET value = keys.value || excluded.value", op.Key, op.Value)
	}
	r, err := s.Query(sql)
	if err == nil && len(r.Rows) > 0 {
		value = string(r.Rows[0][0])
	}
	return value, err
}

// answers is how many calls were answered.
func (k *keyed) answers() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.acked
}

// readAll reads every key that was ever written, from the server that should
// know.
func (k *keyed) readAll(socket string) {
	k.t.Helper()
	k.close()
	const reader = 1 << 20 // no client has this number
	s, err := k.connect(socket)
	if err != nil {
		k.t.Errorf("the last reads: %v", err)
		return
	}
	defer s.Close()
	for e := range time.Since(k.started)/epoch + 1 {
		for n := range keysOfEpoch {
			op := linearizability.Op{Kind: linearizability.Get, Key: fmt.Sprintf("e%d-%d", e, n)}
			if err := k.call(s, socket, reader, op); err != nil {
				k.t.Errorf("the last reads: %v", err)
				return
			}
		}
	}
}

// check judges everything that was told.
func (k *keyed) check() {
	k.t.Helper()
	k.close()
	k.t.Logf("%d calls, %d answered (%v), %d of unknown outcome; servers said %v", k.history.Len(), k.acked, k.byServer, k.unknown, k.problems)
	if err := k.history.Check(); err != nil {
		k.t.Errorf("what clients were told is not linearizable: %v", err)
		k.picture(err)
	}
}

// picture keeps what the first wrong key was told, for people.
func (k *keyed) picture(err error) {
	var v *linearizability.Violation
	dir := os.Getenv("XENON_ARTIFACTS")
	if !errors.As(err, &v) || dir == "" {
		return
	}
	f, err := os.CreateTemp(dir, "history-*.html")
	if err != nil {
		k.t.Error(err)
		return
	}
	defer f.Close()
	if err := v.Report(f); err != nil {
		k.t.Error(err)
	}
	k.t.Logf("the history of the key: %s", f.Name())
}
