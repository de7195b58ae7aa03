package netsim

// An Event is something that went into the trace hash. Kind says what it is:
// step (A is the task), timer, start, kill, power, exit, pause, resume (A is
// the process, B its incarnation), dial, accept, send, deliver, reset, end (A
// is the connection, B the length, Hash covers the bytes), or what a part or a
// disk noted.
type Event struct {
	At         int64 // ns since the start of the world
	Kind       string
	A, B, C, D uint64
	Hash       uint64 // of the bytes that belong to it
}

const (
	windowSteps = 1024 // steps that one hash of Windows covers
	recentSize  = 256  // events that a failure shows
)

// trace is the hash of a run, and the last events before now.
type trace struct {
	hash    uint64
	steps   int
	windows []uint64
	recent  [recentSize]Event
	count   uint64
	observe func(Event)
}

func (t *trace) init(o Options) {
	t.observe = o.Observe
	t.hash = mix(hashC, o.Seed)
}

func (t *trace) step(now int64, task uint64) {
	t.hash = mix(mix(t.hash, uint64(now)), task)
	t.keep(Event{At: now, Kind: "step", A: task})
	if t.steps++; t.steps%windowSteps == 0 {
		t.windows = append(t.windows, t.hash)
	}
}

func (t *trace) event(e Event) {
	h := hashString(t.hash, e.Kind)
	h = mix(mix(h, uint64(e.At)), e.A)
	h = mix(mix(h, e.B), e.C)
	t.hash = mix(mix(h, e.D), e.Hash)
	t.keep(e)
}

func (t *trace) keep(e Event) {
	t.recent[t.count%recentSize] = e
	t.count++
	if t.observe != nil {
		t.observe(e)
	}
}

// last is the newest events, oldest first.
func (t *trace) last() []Event {
	n := min(t.count, recentSize)
	events := make([]Event, 0, n)
	for i := t.count - n; i < t.count; i++ {
		events = append(events, t.recent[i%recentSize])
	}
	return events
}

// Hash covers the run so far: the order of all steps, their times, and every
// byte that was sent or noted. Equal seeds give equal hashes, whatever the
// machine.
func (w *World) Hash() uint64 { return w.trace.hash }

// Windows has the hash as it stood after every 1,024 steps: where two runs
// that should be equal differ first, they parted in the window before.
func (w *World) Windows() []uint64 { return w.trace.windows }

// Note folds something into the trace hash that the world does not see itself,
// such as an operation of a simulated disk.
func (w *World) Note(kind, name string, a, b uint64, data []byte) {
	e := Event{At: w.now, Kind: kind, A: hashString(0, name), B: a, C: b, Hash: hashBytes(0, data)}
	w.trace.event(e)
	if w.opts.Record != nil {
		w.opts.Record(Detail{Event: e, Name: name, Data: data})
	}
}
