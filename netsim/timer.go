package netsim

// A Timer is something that happens at an instant of the world's clock.
type Timer struct {
	at    int64
	seq   uint64 // ties go to the older one
	index int    // in the heap, plus one; 0 if it is not pending
	task  *task  // is made ready, or else
	pipe  *pipe  // delivers, or else
	call  func() // is called
}

func (t *Timer) pending() bool { return t.index > 0 }

func (t *Timer) fire(w *World) {
	w.trace.event(Event{At: w.now, Kind: "timer", A: t.seq})
	switch {
	case t.task != nil:
		w.ready(t.task)
	case t.pipe != nil:
		t.pipe.arrive()
	default:
		t.call()
	}
}

// timers is a heap with four children a node: half as deep as a binary one,
// and the keys lie beside each other.
type timers struct {
	heap []timerEntry
	seq  uint64
}

type timerEntry struct {
	at  int64
	seq uint64
	t   *Timer
}

func (a timerEntry) before(b timerEntry) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// add makes t, which may be pending, fire at at.
func (h *timers) add(t *Timer, at int64) {
	h.remove(t)
	h.seq++
	t.at, t.seq = at, h.seq
	h.heap = append(h.heap, timerEntry{at, h.seq, t})
	h.up(len(h.heap) - 1)
}

func (h *timers) next() (int64, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at, true
}

func (h *timers) pop() *Timer {
	t := h.heap[0].t
	h.remove(t)
	return t
}

// remove tells whether t was pending.
func (h *timers) remove(t *Timer) bool {
	if t.index == 0 {
		return false
	}
	i, last := t.index-1, len(h.heap)-1
	t.index = 0
	moved := h.heap[last]
	h.heap[last] = timerEntry{}
	h.heap = h.heap[:last]
	if i != last {
		h.put(i, moved)
		h.down(i)
		h.up(moved.t.index - 1)
	}
	return true
}

func (h *timers) put(i int, e timerEntry) {
	h.heap[i] = e
	e.t.index = i + 1
}

func (h *timers) up(i int) {
	e := h.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(h.heap[parent]) {
			break
		}
		h.put(i, h.heap[parent])
		i = parent
	}
	h.put(i, e)
}

func (h *timers) down(i int) {
	e := h.heap[i]
	for {
		least, end := 4*i+1, min(4*i+5, len(h.heap))
		if least >= end {
			break
		}
		for c := least + 1; c < end; c++ {
			if h.heap[c].before(h.heap[least]) {
				least = c
			}
		}
		if !h.heap[least].before(e) {
			break
		}
		h.put(i, h.heap[least])
		i = least
	}
	h.put(i, e)
}
