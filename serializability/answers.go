package serializability

import (
	"fmt"
	"maps"
	"slices"
)

// An element is a value in the list of a key.
type element struct {
	key   string
	value Value
}

// plain looks for what shows in single answers, without a graph.
func (h *History) plain(l Level) *Violation {
	writers := h.writers()
	took := h.took(writers)
	longest := map[string]read{}
	var found []*Violation
	note := func(a Anomaly, t Txn, format string, args ...any) {
		if l >= a.from() {
			found = append(found, &Violation{a, []Txn{t}, []string{fmt.Sprintf(format, args...)}, h})
		}
	}
	for t := range h.txns {
		x := &h.txns[t]
		if !took[t] {
			continue
		}
		for i, o := range x.ops {
			if o.value != 0 {
				continue
			}
			h.values(writers, Txn(t), o, longest[o.key].list, note)
			if why := x.contradicts(i); why != "" {
				note(Internal, Txn(t), "%s", why)
			}
			if other := longest[o.key]; !prefixes(other.list, o.answer) && l >= Incompatible.from() {
				found = append(found, &Violation{Incompatible, []Txn{other.by, Txn(t)},
					[]string{fmt.Sprintf("read %s %s", o.key, shown(other.list)), fmt.Sprintf("read %s %s", o.key, shown(o.answer))}, h})
			} else if len(o.answer) > len(other.list) {
				longest[o.key] = read{Txn(t), o.answer}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return slices.MinFunc(found, func(a, b *Violation) int { return int(a.Anomaly.from()) - int(b.Anomaly.from()) })
}

// A read is who read a list.
type read struct {
	by   Txn
	list []Value
}

// values judges each value of an answer but those of another one, known, that
// it goes on from.
func (h *History) values(writers map[element]Txn, t Txn, o op, known []Value, note func(Anomaly, Txn, string, ...any)) {
	var seen map[Value]bool
	for i, v := range o.answer {
		if seen == nil {
			if i < len(known) && known[i] == v {
				continue
			}
			seen = map[Value]bool{}
			for _, before := range o.answer[:i] {
				seen[before] = true
			}
		}
		by, ok := writers[element{o.key, v}]
		switch {
		case !ok:
			note(Garbage, t, "read %d under %s, which nobody appended", v, o.key)
		case h.txns[by].outcome == aborted:
			note(G1a, t, "read %d under %s, which T%d appended, and was aborted", v, o.key, by)
		case seen[v]:
			note(Duplicate, t, "read %d twice under %s", v, o.key)
		}
		seen[v] = true
	}
	if n := len(o.answer); n > 0 {
		v := o.answer[n-1]
		by, ok := writers[element{o.key, v}]
		if ok && by != t && h.txns[by].last(o.key) != v {
			note(G1b, t, "read %s up to %d, behind which T%d appended %d itself", o.key, v, by, h.txns[by].last(o.key))
		}
	}
}

// contradicts tells how the i-th operation, a read, does not follow from what
// the transaction did before; "" if it does.
func (x *txn) contradicts(i int) string {
	o := x.ops[i]
	own := []Value{} // appended since the read before
	for _, p := range slices.Backward(x.ops[:i]) {
		switch {
		case p.key != o.key:
		case p.value != 0:
			own = append(own, p.value)
		default:
			slices.Reverse(own)
			if want := slices.Concat(p.answer, own); !slices.Equal(want, o.answer) {
				return fmt.Sprintf("read %s %s, after what it did before it must be %s", o.key, shown(o.answer), shown(want))
			}
			return ""
		}
	}
	slices.Reverse(own)
	if n := len(o.answer) - len(own); n < 0 || !slices.Equal(own, o.answer[n:]) {
		return fmt.Sprintf("read %s %s, which does not end with its own %s", o.key, shown(o.answer), shown(own))
	}
	return ""
}

// writers finds who appended what.
func (h *History) writers() map[element]Txn {
	w := map[element]Txn{}
	for t := range h.txns {
		for _, o := range h.txns[t].ops {
			if o.value == 0 {
				continue
			}
			if by, twice := w[element{o.key, o.value}]; twice {
				panic(fmt.Sprintf("T%d and T%d append the same value %d to %s", by, t, o.value, o.key))
			}
			w[element{o.key, o.value}] = Txn(t)
		}
	}
	return w
}

// prefixes tells whether one of two lists begins with the other.
func prefixes(a, b []Value) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

// took tells which transactions took place: those that were answered to be
// done, and those of unknown outcome some value of which was read by one that
// took place.
func (h *History) took(writers map[element]Txn) []bool {
	took := make([]bool, len(h.txns))
	var queue []Txn
	for t := range h.txns {
		if h.txns[t].outcome == committed {
			took[t] = true
			queue = append(queue, Txn(t))
		}
	}
	known := map[string][]Value{} // whose writers are in
	for len(queue) > 0 {
		x := &h.txns[queue[0]]
		queue = queue[1:]
		for _, o := range x.ops {
			list := known[o.key]
			if len(o.answer) > len(list) {
				known[o.key] = o.answer
			}
			for i, v := range o.answer {
				if i < len(list) && list[i] == v {
					continue
				}
				if by, ok := writers[element{o.key, v}]; ok && !took[by] && h.txns[by].outcome != aborted {
					took[by] = true
					queue = append(queue, by)
				}
			}
		}
	}
	return took
}

// orders is the longest list of each key that a transaction read which took
// place.
func (h *History) orders(took []bool) map[string][]Value {
	order := map[string][]Value{}
	for t := range h.txns {
		for _, o := range h.txns[t].ops {
			if took[t] && len(o.answer) > len(order[o.key]) {
				order[o.key] = o.answer
			}
		}
	}
	return order
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
