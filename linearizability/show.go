package linearizability

import (
	"iter"
	"slices"

	"github.com/anishathalye/porcupine"

	"xenon/core/env"
)

// A Told is a call of a history in words, for whoever shows it.
type Told struct {
	Client   int
	Key      string
	Text     string // what was asked and answered: get 3 → "v7"
	From, To env.Instant
	Ended    bool   // To is set: the client learned the outcome
	Outcome  string // ok, failed, unknown, or forgotten
}

// Calls yields all calls in the order in which they began.
func (h *History) Calls() iter.Seq[Told] {
	return func(yield func(Told) bool) {
		for i := range h.calls {
			if !yield(h.calls[i].told()) {
				return
			}
		}
	}
}

func (c *call) told() Told {
	t := Told{Client: c.client, Key: c.op.Key, From: c.from, To: c.to}
	r := c.result
	switch {
	case c.forgotten:
		t.Outcome, t.Ended = "forgotten", c.state != open
	case c.state == returned:
		t.Outcome, t.Ended = "ok", true
	case c.state == failed:
		t.Outcome, t.Ended = "failed", true
	default:
		t.Outcome, r.unknown = "unknown", true
	}
	t.Text = describe(c.op, r)
	return t
}

// Annotate adds to the picture what happened meanwhile in the system: who is a
// line of its own in it, times are those of the history.
func (v *Violation) Annotate(who, text string, from, to int64) {
	v.info.AddAnnotations([]porcupine.Annotation{{Tag: who, Start: from, End: to, Description: text, BackgroundColor: "#f4c7a1"}})
}

// Unexplained is the first call, by when it was answered, that has no place in
// the longest order that explains others. It is false if there is none with an
// answer.
func (v *Violation) Unexplained() (Told, bool) {
	var longest []porcupine.Operation
	for _, part := range v.info.PartialLinearizationsOperations() {
		for _, ops := range part {
			if len(ops) > len(longest) {
				longest = ops
			}
		}
	}
	var first *porcupine.Operation
	for i := range v.ops {
		o := &v.ops[i]
		if o.Output.(Result).unknown || slices.ContainsFunc(longest, func(p porcupine.Operation) bool { return p.ClientId == o.ClientId && p.Call == o.Call }) {
			continue
		}
		if first == nil || o.Return < first.Return {
			first = o
		}
	}
	if first == nil {
		return Told{}, false
	}
	op := first.Input.(Op)
	return Told{Client: first.ClientId, Key: op.Key, Text: describe(op, first.Output.(Result)), From: env.Instant(first.Call),
		To: env.Instant(first.Return), Ended: true, Outcome: "ok"}, true
}
