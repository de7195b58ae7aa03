package objstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"xenon/core/env"
)

// A Kind is what a request does.
type Kind uint8

// The kinds of requests.
const (
	Put Kind = iota
	Get
	Head
	List
	Delete
	kinds
)

var kindNames = [kinds]string{"put", "get", "head", "list", "delete"}

func (k Kind) String() string { return kindNames[k] }

// Stats count since the Store was made.
type Stats struct {
	Requests [kinds]uint64 `json:"requests"` // by Kind, repeated ones as well
	// Retries are requests that were sent again after an answer that was none.
	Retries uint64 `json:"retries"`
	// Failures of requests, also of those that fared better later.
	SlowDown  uint64 `json:"slow_down"`
	Forbidden uint64 `json:"forbidden"`
	NoAnswer  uint64 `json:"no_answer"`
	BytesIn   uint64 `json:"bytes_in"`  // of bodies put
	BytesOut  uint64 `json:"bytes_out"` // of bodies got
	// InFlight is how many requests are under way, of Limit at most.
	InFlight int `json:"in_flight"`
	Limit    int `json:"limit"`
}

// slowAnswer is when a call counts as waiting though nothing has failed yet.
const slowAnswer = 5 * time.Second

// A Wait is a call that is being repeated, or that has no answer for long.
type Wait struct {
	Kind     Kind
	Key      string
	For      time.Duration // since it was made
	Attempts int           // requests that failed
	Err      error         // of the last one; nil if none failed
}

func (w Wait) String() string {
	if w.Err == nil {
		return fmt.Sprintf("%s %s, for %v: no answer yet", w.Kind, w.Key, w.For.Round(time.Second/10))
	}
	// Stores begin with what was asked; it is said already, perhaps shorter.
	err := w.Err.Error()
	if strings.HasPrefix(err, w.Kind.String()+` "`) {
		_, err, _ = strings.Cut(err, `": `)
	}
	return fmt.Sprintf("%s %s, for %v, after %s: %s", w.Kind, w.Key, w.For.Round(time.Second/10), attempts(w.Attempts), err)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// A journal knows what is under way and counts what was.
type journal struct {
	clock env.Clock

	mu    sync.Mutex // leaf
	stats Stats
	calls []*underway // in the order they were made
}

// underway is a call that has not returned.
type underway struct {
	call
	since    env.Instant
	attempts int
	err      error
}

// last joins cause with the error that kept the call waiting.
func (u *underway) last(cause error) error {
	if u.err == nil {
		return cause
	}
	return fmt.Errorf("%w (after %s, last: %w)", cause, attempts(u.attempts), u.err)
}

func (j *journal) init(e env.Env) { j.clock = e.Clock() }

func (j *journal) begin(c call) *underway {
	u := &underway{call: c, since: j.clock.Mono()}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = append(j.calls, u)
	return u
}

func (j *journal) end(u *underway) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.Index(j.calls, u)
	j.calls = slices.Delete(j.calls, at, at+1)
}

// answered notes what one request came to.
func (j *journal) answered(u *underway, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Requests[u.kind]++
	if u.attempts > 0 {
		j.stats.Retries++
	}
	if err == nil || !Transient(err) {
		return
	}
	u.attempts++
	u.err = err
	switch {
	case errors.Is(err, env.ErrSlowDown):
		j.stats.SlowDown++
	case errors.Is(err, env.ErrForbidden):
		j.stats.Forbidden++
	default:
		j.stats.NoAnswer++
	}
}

func (j *journal) moved(in, out int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.BytesIn += uint64(in)
	j.stats.BytesOut += uint64(out)
}

// Stats are the counters as they stand.
func (s *Store) Stats() Stats {
	inside, limit := s.gate.load()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	st := s.log.stats
	st.InFlight, st.Limit = inside, limit
	return st
}

// Waits are the calls that do not get on, the oldest first.
func (s *Store) Waits() []Wait {
	now := s.env.Clock().Mono()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	var waits []Wait
	for _, u := range s.log.calls {
		if w := (Wait{u.kind, u.key, now.Sub(u.since), u.attempts, u.err}); w.Attempts > 0 || w.For >= slowAnswer {
			waits = append(waits, w)
		}
	}
	return waits
}

// Trouble is one line for people about what waits, "" if nothing does.
func (s *Store) Trouble() string {
	waits := s.Waits()
	if len(waits) == 0 {
		return ""
	}
	line := "the object store does not answer well: " + waits[0].String()
	if n := len(waits) - 1; n > 0 {
		line += fmt.Sprintf(" (and %d more)", n)
	}
	return strings.ReplaceAll(line, "\n", " ")
}
