package serializability

import (
	"cmp"
	"fmt"
	"slices"

	"xenon/core/env"
)

// A kind is that of a dependency.
type kind uint8

const (
	ww kind = 1 << iota
	wr
	rw
	rt
)

func (k kind) String() string {
	return map[kind]string{ww: "ww", wr: "wr", rw: "rw", rt: "rt"}[k]
}

// An edge leads to what came after.
type edge struct {
	to    int
	kind  kind
	key   string
	value Value // ww, rw: that the other appended; wr: that the other read
}

// A graph has a node for each transaction of its history and, for real time,
// one behind these for each end of a transaction, in the order of time: a
// transaction leads to its end, an end to the next one, and the last end before
// a transaction began leads to it. So real time takes a line of nodes, not a
// step for every two transactions.
type graph struct {
	h     *History
	edges [][]edge
}

func (h *History) graph(strict bool) *graph {
	g := &graph{h: h, edges: make([][]edge, len(h.txns))}
	writers := h.writers()
	took := h.took(writers)
	order := h.orders(took)
	for _, key := range sorted(order) {
		g.follow(key, order[key], writers)
	}
	for t := range h.txns {
		if took[t] {
			g.reads(t, order, writers)
		}
	}
	g.unseen(took, order, writers)
	if strict {
		g.time(took)
	}
	return g
}

// add leads from one transaction to another.
func (g *graph) add(from int, e edge) {
	if from != e.to {
		g.edges[from] = append(g.edges[from], e)
	}
}

// follow adds the ww of the values of a list.
func (g *graph) follow(key string, list []Value, writers map[element]Txn) {
	for i := 1; i < len(list); i++ {
		g.add(int(writers[element{key, list[i-1]}]), edge{int(writers[element{key, list[i]}]), ww, key, list[i]})
	}
}

// reads adds what the answers of one transaction depend on, and what came after
// them.
func (g *graph) reads(t int, order map[string][]Value, writers map[element]Txn) {
	for _, o := range g.h.txns[t].ops {
		if o.value != 0 {
			continue
		}
		n := len(o.answer)
		if n > 0 {
			v := o.answer[n-1]
			g.add(int(writers[element{o.key, v}]), edge{t, wr, o.key, v})
		}
		if list := order[o.key]; n < len(list) {
			g.add(t, edge{int(writers[element{o.key, list[n]}]), rw, o.key, list[n]})
		}
	}
}

// unseen adds the appends that took place and that nobody has read: they are
// behind all that was read.
func (g *graph) unseen(took []bool, order map[string][]Value, writers map[element]Txn) {
	full := map[string][]int{} // who read the longest list
	for t := range g.h.txns {
		for _, o := range g.h.txns[t].ops {
			if took[t] && o.value == 0 && len(o.answer) == len(order[o.key]) {
				full[o.key] = append(full[o.key], t)
			}
		}
	}
	seen := map[element]bool{}
	for _, key := range sorted(order) {
		for _, v := range order[key] {
			seen[element{key, v}] = true
		}
	}
	for t := range g.h.txns {
		for _, o := range g.h.txns[t].ops {
			if !took[t] || o.value == 0 || seen[element{o.key, o.value}] {
				continue
			}
			if list := order[o.key]; len(list) > 0 {
				g.add(int(writers[element{o.key, list[len(list)-1]}]), edge{t, ww, o.key, o.value})
			}
			for _, reader := range full[o.key] {
				g.add(reader, edge{t, rw, o.key, o.value})
			}
		}
	}
}

// time adds the order of real time.
func (g *graph) time(took []bool) {
	h := g.h
	var ends []int
	for t := range h.txns {
		if took[t] && h.txns[t].outcome == committed {
			ends = append(ends, t)
		}
	}
	slices.SortStableFunc(ends, func(a, b int) int { return cmp.Compare(h.txns[a].to, h.txns[b].to) })
	first := len(g.edges)
	g.edges = append(g.edges, make([][]edge, len(ends))...)
	for i, t := range ends {
		g.edges[t] = append(g.edges[t], edge{to: first + i, kind: rt})
		if i > 0 {
			g.edges[first+i-1] = append(g.edges[first+i-1], edge{to: first + i, kind: rt})
		}
	}
	for t := range h.txns {
		before, _ := slices.BinarySearchFunc(ends, h.txns[t].from, func(end int, at env.Instant) int {
			if h.txns[end].to < at {
				return -1
			}
			return 1
		})
		if took[t] && before > 0 {
			g.edges[first+before-1] = append(g.edges[first+before-1], edge{to: t, kind: rt})
		}
	}
}

// because says why the second of two transactions came after the first.
func (e *edge) because() string {
	switch e.kind {
	case ww:
		return fmt.Sprintf("ww: T%d appended %d to %s behind it", e.to, e.value, e.key)
	case wr:
		return fmt.Sprintf("wr: T%d read %s up to its %d", e.to, e.key, e.value)
	case rw:
		return fmt.Sprintf("rw: it read %s without %d, which T%d appended", e.key, e.value, e.to)
	}
	return fmt.Sprintf("rt: it was over when T%d began", e.to)
}
