// Package linearizability judges what clients saw.
//
// Clients note every call, with the virtual time at which it left and at which
// its answer came, in a [History]. [History.Check] asks whether one order of
// all of them, in keeping with those times, explains every answer. A call
// whose outcome nobody learned may have taken effect at any later time, or
// never.
//
// Some laws need no search and are checked while a run goes on: see
// [Watermark] and [Log].
//
// The search takes long where many calls on one key overlap. Eight clients on a
// key and two thousand calls are no trouble; let every write have a value of its
// own, and spread clients over keys. Times are those of one clock: in the
// simulator that of the world, in tests of real processes that of one machine.
// [Violation.Unexplained] names the call to look at first, and
// [Violation.Report] draws the whole key.
package linearizability

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"xenon/core/env"
)

// A Kind says what an operation does to one key.
type Kind uint8

// The operations of a key-value store. The value of a key never written is "".
const (
	Get Kind = iota
	Put
	Append // to the end of the value
	CAS    // writes Value if the key holds Old
)

func (k Kind) String() string { return [...]string{"get", "put", "append", "cas"}[k] }

// An Op is what a client asks for.
type Op struct {
	Kind       Kind
	Key        string
	Value, Old string
}

// A Result is what a client was answered.
type Result struct {
	Value   string // of a Get
	Swapped bool   // of a CAS
	unknown bool
}

// A Call names one call in its history.
type Call int

// A History is the calls of all clients of one run. It is not safe for
// concurrent use: the simulator runs one task at a time, and production's tests
// lock.
type History struct {
	calls []call
}

type call struct {
	client    int
	op        Op
	result    Result
	from, to  env.Instant
	state     state
	forgotten bool
}

type state uint8

const (
	open state = iota
	returned
	unknown
	failed
)

// Begin notes that a client has sent an operation. A client has one call at a
// time.
func (h *History) Begin(client int, op Op, now env.Instant) Call {
	h.calls = append(h.calls, call{client: client, op: op, from: now, to: math.MaxInt64})
	return Call(len(h.calls) - 1)
}

// Return notes an answer.
func (h *History) Return(c Call, r Result, now env.Instant) {
	h.end(c, returned, now)
	h.calls[c].result = r
}

// Unknown notes that the client will never learn the outcome: the connection
// broke, say, after the request was sent. A call that is never ended counts as
// unknown, too.
func (h *History) Unknown(c Call, now env.Instant) { h.end(c, unknown, now) }

// Fail notes an answer which says for certain that nothing was done, nor will
// be.
func (h *History) Fail(c Call, now env.Instant) { h.end(c, failed, now) }

// Forget leaves a call out of what is judged: a read for which the system
// promises nothing. Leaving out a write would make the reads of it wrong.
func (h *History) Forget(c Call) {
	if h.calls[c].op.Kind != Get {
		panic(fmt.Sprintf("call %d is a %s: only reads may be forgotten", c, h.calls[c].op.Kind))
	}
	h.calls[c].forgotten = true
}

func (h *History) end(c Call, s state, now env.Instant) {
	if h.calls[c].state != open || now < h.calls[c].from {
		panic(fmt.Sprintf("call %d ends twice, or before it began", c))
	}
	h.calls[c].state = s
	if s != unknown {
		h.calls[c].to = now
	}
}

// Len is how many calls were noted.
func (h *History) Len() int { return len(h.calls) }

// Answered is how many calls were answered and are judged.
func (h *History) Answered() int {
	n := 0
	for i := range h.calls {
		if h.calls[i].state == returned && !h.calls[i].forgotten {
			n++
		}
	}
	return n
}

// operations is the history as porcupine takes it. Every call of unknown
// outcome gets a client of its own, since it may overlap whatever its client
// did later.
func (h *History) operations() []porcupine.Operation {
	clients := 0
	for i := range h.calls {
		clients = max(clients, h.calls[i].client+1)
	}
	var ops []porcupine.Operation
	for i := range h.calls {
		c := &h.calls[i]
		op := porcupine.Operation{ClientId: c.client, Input: c.op, Call: int64(c.from), Output: c.result, Return: int64(c.to)}
		if c.state == open || c.state == unknown {
			op.Output, op.Return = Result{unknown: true}, math.MaxInt64
			op.ClientId = clients
			clients++
		}
		unread := c.op.Kind == Get && c.state != returned
		if c.forgotten || c.state == failed || unread {
			continue
		}
		ops = append(ops, op)
	}
	return ops
}

// A Violation is a history that no order of its calls explains.
type Violation struct {
	Key  string                // the first key that goes wrong, in order
	ops  []porcupine.Operation // on the key
	info porcupine.LinearizationInfo
}

func (v *Violation) Error() string {
	return fmt.Sprintf("history is not linearizable: key %q", v.Key)
}

// Check tells whether the history is linearizable; the error is a *[Violation].
// It takes as long as it takes: a bound on its time would make the verdict
// depend on the machine. Few clients on each key keep it short.
func (h *History) Check() error {
	parts := partition(h.operations())
	for _, part := range parts {
		verdict, info := porcupine.CheckOperationsVerbose(model, part, 0)
		if verdict != porcupine.Ok {
			return &Violation{part[0].Input.(Op).Key, part, info}
		}
	}
	return nil
}

// Report writes an HTML page that shows the calls on the key and how far an
// order of them could be found. The caller keeps it as a file.
func (v *Violation) Report(w io.Writer) error {
	return porcupine.Visualize(model, v.info, w)
}

// partition splits a history by key, in order of keys: each key is a register
// of its own, and a store of registers is linearizable if each of them is.
func partition(ops []porcupine.Operation) [][]porcupine.Operation {
	sorted := slices.Clone(ops)
	key := func(o porcupine.Operation) string { return o.Input.(Op).Key }
	slices.SortStableFunc(sorted, func(a, b porcupine.Operation) int {
		switch ka, kb := key(a), key(b); {
		case ka < kb:
			return -1
		case ka > kb:
			return 1
		}
		return 0
	})
	var parts [][]porcupine.Operation
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && key(sorted[n]) == key(sorted[0]) {
			n++
		}
		parts = append(parts, sorted[:n:n])
		sorted = sorted[n:]
	}
	return parts
}
