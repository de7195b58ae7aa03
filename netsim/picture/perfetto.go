package picture

import (
	"bufio"
	"encoding/json"
	"io"
	"time"
)

// traceEvent is one of Chrome's trace event format, which Perfetto reads
// (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
type traceEvent struct {
	Name  string         `json:"name,omitempty"`
	Cat   string         `json:"cat,omitempty"`
	Ph    string         `json:"ph"` // X span, i instant, s and f ends of an arrow, C counter, M name
	TS    float64        `json:"ts"` // microseconds
	Dur   float64        `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    int            `json:"id,omitempty"`
	BP    string         `json:"bp,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// The threads of a lane's process in a trace.
const (
	tidLife = 1 + iota
	tidRole
	tidMessages
	tidEvents
)

// messageSpan is how long a message is drawn at either end: an arrow needs a
// span to begin and to end in.
const messageSpan = 20 * time.Microsecond

// WritePerfetto writes the run as a trace that ui.perfetto.dev and
// chrome://tracing open.
func WritePerfetto(w io.Writer, p *Picture) error {
	out := &traceWriter{w: bufio.NewWriter(w)}
	out.text(`{"displayTimeUnit":"ms","traceEvents":[`)
	for i, l := range p.Lanes {
		out.names(i+1, l.Name)
		for _, s := range l.Alive {
			out.span(i+1, tidLife, "incarnation", s)
		}
		for _, s := range l.Roles {
			out.span(i+1, tidRole, s.Kind, s)
		}
	}
	for _, b := range p.Bands {
		pids := []int{0}
		for _, l := range b.Lanes {
			pids = append(pids, l+1)
		}
		for _, pid := range pids {
			out.event(traceEvent{Name: b.Text, Cat: b.Kind, Ph: "X", TS: ts(b.From), Dur: ts(b.To - b.From), PID: pid, TID: tidLife + 10})
		}
	}
	out.messages(p)
	for _, m := range p.Marks {
		out.event(traceEvent{Name: m.Text, Cat: m.Kind, Ph: "i", TS: ts(m.At), PID: m.Lane + 1, TID: tidEvents, Scope: "t"})
	}
	for _, s := range p.Series {
		for i := range s.At {
			out.event(traceEvent{Name: s.Group + " " + s.Name, Ph: "C", TS: ts(s.At[i]), PID: s.Lane + 1, Args: map[string]any{"lsn": s.Value[i]}})
		}
	}
	if p.Failure != Never {
		out.event(traceEvent{Name: p.Verdict, Cat: "failure", Ph: "i", TS: ts(p.Failure), Scope: "g"})
	}
	out.text("]}\n")
	if out.err != nil {
		return out.err
	}
	return out.w.Flush()
}

func ts(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

type traceWriter struct {
	w    *bufio.Writer
	some bool
	err  error
}

func (t *traceWriter) text(s string) {
	if t.err == nil {
		_, t.err = t.w.WriteString(s)
	}
}

func (t *traceWriter) event(e traceEvent) {
	if t.err != nil {
		return
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.err = err
		return
	}
	if t.some {
		t.text(",\n")
	}
	t.some = true
	t.text(string(b))
}

func (t *traceWriter) names(pid int, name string) {
	t.event(traceEvent{Name: "process_name", Ph: "M", PID: pid, Args: map[string]any{"name": name}})
	for i, thread := range []string{"life", "role", "messages", "events"} {
		t.event(traceEvent{Name: "thread_name", Ph: "M", PID: pid, TID: tidLife + i, Args: map[string]any{"name": thread}})
	}
}

func (t *traceWriter) span(pid, tid int, cat string, s Span) {
	t.event(traceEvent{Name: s.Text, Cat: cat, Ph: "X", TS: ts(s.From), Dur: ts(s.To - s.From), PID: pid, TID: tid, Args: map[string]any{"number": s.Number}})
}

func (t *traceWriter) messages(p *Picture) {
	for i, a := range p.Arrows {
		name := a.Text
		if name == "" {
			name = a.Kind
		}
		e := traceEvent{Name: name, Cat: a.Kind, Ph: "X", TS: ts(a.Sent), Dur: ts(messageSpan), PID: a.From + 1, TID: tidMessages, Args: map[string]any{"bytes": a.Bytes}}
		t.event(e)
		if a.Arrived == Never {
			continue
		}
		e.TS, e.PID = ts(a.Arrived), a.To+1
		t.event(e)
		t.event(traceEvent{Name: a.Kind, Cat: a.Kind, Ph: "s", TS: ts(a.Sent), PID: a.From + 1, TID: tidMessages, ID: i + 1})
		t.event(traceEvent{Name: a.Kind, Cat: a.Kind, Ph: "f", BP: "e", TS: ts(a.Arrived), PID: a.To + 1, TID: tidMessages, ID: i + 1})
	}
}
