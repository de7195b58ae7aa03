// Package good does nothing that a part may not.
package good

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

type part struct {
	mu    sync.Mutex
	pool  sync.Pool
	once  sync.Once
	n     atomic.Int64
	r     *rand.Rand
	clock env.Clock
	w     env.Waiter
	q     xsync.Queue[int]
	conn  net.Conn
	sent  *net.OpError
	serve http.HandlerFunc
	since time.Time
	wait  time.Duration
	seq   iter.Seq[int]
	ctx   context.Context
}

func (p *part) draw() int { return p.r.IntN(5) }

func sorted(m, o map[int]string) (keys []int) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Println(k)
	}
	keys = append(slices.Collect(maps.Keys(m)), slices.Collect(maps.Keys(o))...)
	slices.SortFunc(keys, func(a, b int) int { return a - b })
	return keys
}

func orderFree(m, o map[int]string) (n int) {
	for range m {
		fmt.Println("as often as there are entries")
	}
	for k, v := range m {
		switch {
		case v == "":
			n++
		case faults.Hit(1):
			continue
		default:
			o[k] = v
			n += len(v)
			delete(m, k)
		}
	}
	return n
}

func (p *part) leaf() {
	p.mu.Lock()
	p.n.Add(1)
	p.w.Wake()
	_ = p.clock.Mono()
	if p.n.Load() > 5 {
		p.mu.Unlock()
		p.clock.Sleep()
		return
	}
	p.mu.Unlock()
	p.q.Pop()
}

func (p *part) later() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	return func() { p.clock.Sleep() }
}

func status(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusNoContent)
	_ = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
}
