package standin

import (
	"context"
	"sync"

	"xenon/compute"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/xsync"
)

// A leash is what bounds a server's answers to its lease: the warden that
// freezes it, a timer here, and the gate in front of it.
type leash struct {
	env   env.Env
	gate  bool
	bound *xsync.Watch[compute.Bound] // Freeze is 0 while the server is frozen
	mu    sync.Mutex                  // a leaf
	timer env.Timer
	last  compute.Bound
}

func (l *leash) init(e env.Env, b compute.Bound, gate bool) {
	l.env, l.gate, l.bound = e, gate, xsync.NewWatch(e, compute.Bound{})
	if b != (compute.Bound{}) {
		l.extend(b)
	}
}

// free tells whether there is no lease to go by.
func (l *leash) free() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last == (compute.Bound{})
}

func (l *leash) extend(b compute.Bound) {
	left := max(0, b.Freeze.Sub(l.env.Clock().Mono()))
	l.mu.Lock()
	l.last = b
	timer := l.timer
	l.mu.Unlock()
	l.bound.Set(b)
	if timer != nil {
		timer.Reset(left)
		return
	}
	timer = l.env.Clock().AfterFunc(left, l.freeze)
	l.mu.Lock()
	l.timer = timer
	l.mu.Unlock()
}

// freeze stops the server, unless it was let go on meanwhile.
func (l *leash) freeze() {
	now := l.env.Clock().Mono()
	if faults.On && faults.Hit(faults.LeaseUnfrozen) {
		return
	}
	l.bound.Update(func(b compute.Bound) compute.Bound {
		if now >= b.Freeze {
			b.Freeze = 0
		}
		return b
	})
}

func (l *leash) stop() {
	l.mu.Lock()
	timer := l.timer
	l.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
}

// answer returns once an answer that the server has ready may reach its client:
// the server is not frozen, and then the gate lets it pass.
func (l *leash) answer(ctx context.Context) error {
	if l.free() {
		return nil
	}
	if _, err := l.bound.Await(ctx, func(b compute.Bound) bool { return b.Freeze != 0 }); err != nil || !l.gate {
		return err
	}
	for {
		// The time is taken after the answer was read from the server.
		now := l.env.Clock().Mono()
		if l.bound.Get().End > now || faults.On && faults.Hit(faults.GateOpen) {
			return nil
		}
		if _, err := l.bound.Await(ctx, func(b compute.Bound) bool { return b.End > now }); err != nil {
			return err
		}
	}
}

// Extend implements compute.Server.
func (s *Server) Extend(b compute.Bound) { s.leash.extend(b) }
