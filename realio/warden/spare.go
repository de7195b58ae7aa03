package warden

import (
	"sync"
	"time"
)

// A Spare is a warden that is kept ready, so that a server starts without
// waiting for one to come up.
type Spare struct {
	exe string

	mu     sync.Mutex
	idle   *Idle // nil while there is none
	closed bool
}

// refillAfter is how long after a warden was taken the next one is started: the
// server that it was taken for has the processors first.
const refillAfter = time.Second

// NewSpare keeps one warden, which is exe with [Arg], from now on.
func NewSpare(exe string) *Spare {
	s := &Spare{exe: exe}
	s.fill()
	return s
}

// Take gives the warden away, whose [Spec] then says where the server's log is;
// nil if there is none just now.
func (s *Spare) Take() *Idle {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.idle
	if s.idle = nil; w != nil {
		time.AfterFunc(refillAfter, s.fill)
	}
	return w
}

// fill starts a warden. Where that fails, the next server starts its own, and
// says why it cannot.
func (s *Spare) fill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.idle != nil {
		return
	}
	if w, err := New(s.exe, nil); err == nil {
		s.idle = w
	} else {
		time.AfterFunc(time.Minute, s.fill)
	}
}

// Close ends the warden; none is given away any more.
func (s *Spare) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.idle != nil {
		s.idle.Release()
		s.idle = nil
	}
}
