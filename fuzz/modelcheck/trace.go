package modelcheck

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"xenon/core"
)

// A Trace is a way from the initial state to another one.
type Trace struct {
	m     *Model
	steps []step
}

type step struct {
	action Action // none of the initial state
	state  state
}

// Len is the number of actions.
func (t *Trace) Len() int { return len(t.steps) - 1 }

// Actions are what was done, in order.
func (t *Trace) Actions() (all []Action) {
	for _, s := range t.steps[1:] {
		all = append(all, s.action)
	}
	return all
}

// found makes the result of a finding.
func (s *search) found(f finding) {
	last := f.parent.lo
	if f.state != nil {
		last = sum(f.state).lo
	}
	t := s.way(last)
	v := s.invariants[f.invariant]
	if f.state == nil {
		t.goOn(func(n *state, enc []byte) bool { return enc == nil && !v.holds(s.m, n) })
	}
	s.result.Violation = &Violation{Invariant: v, Trace: t}
}

// way is the way to a state, given by the lower half of its fingerprint.
func (s *search) way(lo uint64) *Trace {
	var way []uint64 // lower halves of fingerprints, the last first
	for {
		way = append(way, lo)
		from, depth := s.seen.parent(lo)
		if depth == 0 {
			break
		}
		lo = from
	}
	t := &Trace{m: s.m, steps: s.start()}
	for i := len(way) - 2; i >= 0; i-- {
		t.goOn(func(n *state, enc []byte) bool { return enc != nil && sum(enc).lo == way[i] })
	}
	return t
}

// goOn adds the first successor that is wanted. Its names stay those of the
// trace, although those of the state that was found may be others. enc is nil
// beyond the bounds.
func (t *Trace) goOn(wanted func(n *state, enc []byte) bool) {
	c := t.m.codec()
	before := len(t.steps)
	t.m.successors(&t.steps[before-1].state, func(n *state, what func() Action) {
		if len(t.steps) > before {
			return
		}
		var enc []byte
		if t.m.inside(n) {
			enc = c.encode(n)
		}
		if wanted(n, enc) {
			t.steps = append(t.steps, step{what(), *n})
		}
	})
	core.Must(len(t.steps) > before, "a state has no way to it")
}

// Write prints the trace as a table: a row for each action, with the actors it
// changed. Logs are the terms of their entries from LSN 1 on, histories
// term@LSN.
func (t *Trace) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := []string{"", "action"}
	for p := range t.m.Proposers {
		head = append(head, fmt.Sprintf("p%d", p+1))
	}
	for a := range t.m.Acceptors {
		head = append(head, fmt.Sprintf("a%d", a+1))
	}
	if t.m.changes() {
		head = append(head, "register")
	}
	fmt.Fprintln(tw, strings.Join(append(head, "committed (LSN:term)"), "\t"))
	var last []string
	for i, s := range t.steps {
		cells := t.m.cells(&s.state)
		row := []string{fmt.Sprint(i), s.action.String()}
		if i == 0 {
			row[1] = "(start)"
		}
		for j, cell := range cells {
			if last != nil && last[j] == cell {
				cell = "·"
			}
			row = append(row, cell)
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
		last = cells
	}
	return tw.Flush()
}

// cells describe the actors of a state.
func (m *Model) cells(s *state) (all []string) {
	for p := range m.Proposers {
		prop := &s.p[p]
		text := fmt.Sprintf("campaign t%d votes %s", prop.term, prop.voters())
		if prop.leader {
			text = fmt.Sprintf("leader t%d %s log %s", prop.term, prop.hist, &prop.log)
		}
		all = append(all, text+m.confText(prop.conf))
	}
	for a := range m.Acceptors {
		acc := &s.a[a]
		all = append(all, fmt.Sprintf("t%d %s log %s", acc.term, acc.hist, &acc.log)+m.confText(acc.conf))
	}
	if m.changes() {
		all = append(all, strings.TrimSpace(m.confText(s.store)))
	}
	var committed []string
	for i, terms := range s.committed {
		for t := range 8 {
			if terms&(1<<t) != 0 {
				committed = append(committed, fmt.Sprintf("%d:%d", i+1, t))
			}
		}
	}
	return append(all, strings.Join(committed, " "))
}

func (m *Model) confText(c conf) string {
	if !m.changes() {
		return ""
	}
	text := fmt.Sprintf(" g%d %s", c.gen, c.members)
	if c.joint {
		text += "->" + c.new.String()
	}
	return text
}

// String lists a set of acceptors.
func (s set) String() string {
	var names []string
	for a := range MaxAcceptors {
		if s.has(a) {
			names = append(names, fmt.Sprintf("a%d", a+1))
		}
	}
	return "{" + strings.Join(names, ",") + "}"
}

func (h history) String() string {
	var all []string
	for t, lsn := range h {
		if lsn != 0 {
			all = append(all, fmt.Sprintf("%d@%d", t, lsn))
		}
	}
	return strings.Join(all, ",")
}

func (w *wal) String() string {
	if w.len == 0 {
		return "-"
	}
	return strings.Trim(fmt.Sprint(w.entry[:w.len]), "[]")
}
