package host

import (
	"slices"

	"xenon/compute"
)

// Prewarm begins to start the next server, with the settings that its launch
// is expected to have on the command line. It loads its program, which takes as
// long as winning an election, and then waits for its directories: it has read
// nothing, holds no port, and can be ended at any time. A launch with other
// settings, or one that is bound to a lease, gets another server. It is for the
// caller of Start, before, and followed by [Host.Close].
func (h *Host) Prewarm(settings []compute.Setting) {
	s := h.newServer(settings)
	h.warm = make(chan *Server, 1)
	go func(warm chan<- *Server) {
		if err := s.start(compute.Bound{}); err != nil {
			h.env.Log().Warn("no server in advance", "error", err)
			s = nil
		}
		warm <- s
	}(h.warm)
}

// warmed is the server that was prewarmed, if it is one for l; nil if there is
// none.
func (h *Host) warmed(l compute.Launch) *Server {
	s := h.take()
	if s != nil && (l.Bound != (compute.Bound{}) || !slices.Equal(s.settings, l.Settings)) {
		s.End()
		return nil
	}
	return s
}

// take is what was prewarmed; the caller sees to its end.
func (h *Host) take() *Server {
	if h.warm == nil {
		return nil
	}
	s := <-h.warm
	h.warm = nil
	return s
}

// Close ends what was prewarmed and never started.
func (h *Host) Close() {
	if s := h.take(); s != nil {
		s.End()
	}
}
