package env

// An Event is one thing a part noted: fixed size, so that noting it costs
// nothing and the simulator can hash it. Kind names what; A to D are its
// numbers (LSNs, terms, node ids). What befalls a timeline has its
// core.TimelineID.Tag as A.
type Event struct {
	Kind       string
	A, B, C, D uint64
}

// A Trace takes events. The zero trace and a nil one drop them; a world that
// wants them sets Sink, and Shown while somebody records a run.
type Trace struct {
	Sink  func(Event)
	Shown func(Event)
}

// Note records an event.
func (t *Trace) Note(kind string, a, b, c, d uint64) {
	if t != nil && t.Sink != nil {
		t.Sink(Event{kind, a, b, c, d})
	}
}

// Show records what is only there to be looked at: a role that changes, say,
// that no oracle asks for. It is no part of a run: whether anybody looks or
// not, the run takes the same steps.
func (t *Trace) Show(kind string, a, b, c, d uint64) {
	if t != nil && t.Shown != nil {
		t.Shown(Event{kind, a, b, c, d})
	}
}
