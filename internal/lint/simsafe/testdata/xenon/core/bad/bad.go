// Package bad breaks every rule for parts, each where a want comment says so.
package bad

import (
	"context"
	"crypto/rand" // want "import of crypto/rand: take ids"
	"fmt"
	"hash/maphash" // want "import of hash/maphash: its seed"
	"iter"
	"log" // want "import of log: log to"
	"maps"
	oldrand "math/rand" // want "import of math/rand: take random"
	newrand "math/rand/v2"
	"net"
	"net/http"
	"os"            // want "import of os: reach files"
	"path/filepath" // want "import of path/filepath: paths"
	"reflect"
	"runtime" // want "import of runtime: parts know"
	"slices"
	"sync"
	"syscall" // want "import of syscall: errors"
	"testing" // want "import of testing: only in tests"
	"time"
	"unsafe" // want "import of unsafe: addresses"

	"xenon/core/env"
	"xenon/core/xsync"
)

var _ = []any{rand.Reader, maphash.Seed{}, log.Print, oldrand.Int, os.Args, filepath.Abs, runtime.GC, syscall.EIO, testing.Short, unsafe.Sizeof(0)}

func goroutine() {
	go goroutine() // want "go statement"
}

func channels(c chan int) { // want "channel type"
	c <- 1        // want "send on a channel"
	<-c           // want "receive from a channel"
	for range c { // want "range over a channel"
	}

	select {} // want "select"
}

func made() any {
	return make(chan int) // want "channel type"
}

func ended(ctx context.Context) {
	<-ctx.Done() // want "receive from a channel"
}

func ranges[M ~map[string]int](m map[string]int, g M) (first string) {
	for k := range m { // want "range over a map"
		return k
	}
	for _, v := range m { // want "range over a map"
		fmt.Println(v)
	}
	for k := range g { // want "range over a map"
		first += k
	}
	for k := range maps.Keys(m) { // want "maps.Keys in random order"
		return k
	}
	all := slices.Collect(maps.Values(m)) // want "maps.Values in random order"
	_ = all
	for k := range m { // want "range over a map"
		if len(k) > 3 {
			break
		}
	}
	return ""
}

func overwrites(m map[string]int) (last string, out map[string]string) {
	out = map[string]string{}
	for k := range m { // want "range over a map"
		out["last"] = k
	}
	for k := range m { // want "range over a map"
		last = k
	}
	var sum float64
	for _, v := range m { // want "range over a map"
		sum += 1 / float64(v)
	}
	return last, out
}

func clock() {
	_ = time.Now()     // want "time.Now: use Env.Clock"
	time.Sleep(1)      // want "time.Sleep: use Env.Clock"
	_ = time.After     // want "time.After: use Env.Clock"
	_ = time.NewTimer  // want "time.NewTimer: use Env.Clock"
	_ = time.Since     // want "time.Since: use Env.Clock"
	var t *time.Ticker // want "time.Ticker: use Env.Clock"
	_ = t
}

func contexts(ctx context.Context) {
	context.WithCancel(ctx)     // want "context.WithCancel: use xsync"
	context.WithTimeout(ctx, 1) // want "context.WithTimeout: use xsync"
}

func random() {
	_ = newrand.IntN(5) // want "rand.IntN: take a"
	_ = newrand.New     // want "rand.New: take a"
}

func network() {
	_, _ = net.Dial("tcp", "x") // want "net.Dial: reach the network"
	_ = http.Get                // want "http.Get: serve and ask"
	_ = http.DefaultClient      // want "http.DefaultClient: serve and ask"
	_ = http.Server{}           // want "http.Server: serve and ask"
}

type blocking struct {
	mu   sync.Mutex
	rw   sync.RWMutex
	wg   sync.WaitGroup // want "sync.WaitGroup: block with"
	m    sync.Map       // want "sync.Map: block with"
	cond *sync.Cond     // want "sync.Cond: block with"

	clock env.Clock
	fs    env.FS
	w     env.Waiter
	q     xsync.Queue[int]
}

func pulled(s iter.Seq[int]) {
	iter.Pull(s) // want "iter.Pull: a coroutine"
}

func addresses(x *int) string {
	reflect.ValueOf(x).Pointer() // want "reflect's Pointer"
	reflect.ValueOf(x).MapKeys() // want "reflect's MapKeys"
	return fmt.Sprintf("%p", x)  // want "%p prints an address"
}

func (b *blocking) parksLocked(c net.Conn) {
	b.mu.Lock()
	b.clock.Sleep()    // want "Sleep may park the task while b.mu is locked"
	if b.q.Pop() > 0 { // want "Pop may park"
		b.fs.Remove("x") // want "Remove may park"
	}
	b.mu.Unlock()
	b.clock.Sleep()
	b.rw.RLock()
	defer b.rw.RUnlock()
	for {
		c.Read(nil) // want "Read may park the task while b.rw"
		b.w.Wait()  // want "Wait may park"
	}
}

//simsafe:allow nothing is wrong here // want "lets nothing pass"
func allowed() {}

func unexplained() {
	_ = time.Now() //simsafe:allow
	// want-1 "simsafe:allow without a reason" "time.Now: use"
}
