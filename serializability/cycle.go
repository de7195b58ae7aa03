package serializability

import "slices"

// A hunt is what cycle looks for: cycles of some kinds of steps, maybe with a
// step that they must have and the others must not be, or not be next to.
type hunt struct {
	name  Anomaly
	kinds kind // of steps, any number
	apart bool // besides, steps rw, at least one, no two in a row
	once  bool // besides, one step rw
}

var hunts = []hunt{
	{name: G0, kinds: ww},
	{name: G1c, kinds: ww | wr},
	{name: GSingle, kinds: ww | wr, once: true},
	{name: GNonadjacent, kinds: ww | wr, apart: true},
	{name: G2, kinds: ww | wr | rw},
}

// cycle finds the worst cycle that a level forbids: since each kind is looked
// for when those before it were not found, its name is exact.
func (g *graph) cycle(l Level) *Violation {
	for _, time := range []kind{0, rt} {
		if time != 0 && l < StrictSerializable {
			break
		}
		inside := g.knots(ww | wr | rw | time)
		if inside == nil {
			continue // no cycle of any kind
		}
		for _, h := range hunts {
			if l < h.name.from() {
				continue
			}
			h.kinds |= time
			if time != 0 {
				h.name += realtime
			}
			if path := g.find(h, inside); path != nil {
				return g.violation(h.name, path)
			}
		}
	}
	return nil
}

// A step is an edge and where it begins.
type step struct {
	from int
	edge *edge
}

// begins tells whether a cycle of a kind may be looked for from a step on.
func (h *hunt) begins(e *edge) bool {
	if h.once || h.apart {
		return e.kind == rw
	}
	return e.kind&h.kinds != 0
}

// enough is a cycle that is short enough to be shown, if there are shorter ones
// or not: in a history that went wrong everywhere each search takes long.
const enough = 3

// find returns a short cycle of a kind, nil if there is none.
func (g *graph) find(h hunt, inside []bool) (best []step) {
	if !h.once && !h.apart {
		if inside = g.knots(h.kinds); inside == nil {
			return nil
		}
	}
	s := newSearch(g, h, inside)
	for a := range g.edges {
		for i := range g.edges[a] {
			e := &g.edges[a][i]
			if !inside[a] || !inside[e.to] || !h.begins(e) {
				continue
			}
			if rest := s.path(e.to, a); rest != nil && (best == nil || len(rest)+1 < len(best)) {
				best = append([]step{{a, e}}, rest...)
			}
			if best != nil && len(best) <= enough {
				return best
			}
		}
	}
	return best
}

// A search looks for ways that close a cycle. A place is a node, twice: plain,
// and behind a step rw.
type search struct {
	g      *graph
	h      hunt
	inside []bool
	came   []step // by place: the step that led there, from a place
	round  []int  // by place: in which search that was
	rounds int
	queue  []int
}

func newSearch(g *graph, h hunt, inside []bool) *search {
	places := 2 * len(g.edges)
	return &search{g: g, h: h, inside: inside, came: make([]step, places), round: make([]int, places)}
}

// path is the shortest way from one node to another. Where rw is to stay apart
// it begins behind one and ends before one.
func (s *search) path(from, to int) []step {
	start := 2 * from
	if s.h.apart {
		start++
	}
	s.rounds++
	s.round[start] = s.rounds
	s.queue = append(s.queue[:0], start)
	for n := 0; n < len(s.queue); n++ {
		at := s.queue[n]
		edges := s.g.edges[at/2]
		for i := range edges {
			e := &edges[i]
			next := 2 * e.to
			if e.kind&s.h.kinds == 0 {
				if !s.h.apart || e.kind != rw || at%2 == 1 || e.to == to {
					continue
				}
				next++
			}
			if !s.inside[e.to] || s.round[next] == s.rounds {
				continue
			}
			s.round[next], s.came[next] = s.rounds, step{at, e}
			if e.to == to {
				return s.way(start, next)
			}
			s.queue = append(s.queue, next)
		}
	}
	return nil
}

// way goes back from one place to another.
func (s *search) way(start, end int) (steps []step) {
	for at := end; at != start; at = s.came[at].from {
		steps = append(steps, step{s.came[at].from / 2, s.came[at].edge})
	}
	slices.Reverse(steps)
	return steps
}

// knots tells which nodes lie on cycles of some kinds of steps; nil if none
// does. It is Tarjan's search for strongly connected components, without
// recursion.
func (g *graph) knots(kinds kind) (inside []bool) {
	n := len(g.edges)
	index, low, next := make([]int, n), make([]int, n), make([]int, n)
	onStack := make([]bool, n)
	var stack, work []int
	count := 0
	for root := range n {
		if index[root] != 0 {
			continue
		}
		work = append(work, root)
		for len(work) > 0 {
			v := work[len(work)-1]
			if index[v] == 0 {
				count++
				index[v], low[v] = count, count
				stack, onStack[v] = append(stack, v), true
			}
			down := false
			for next[v] < len(g.edges[v]) {
				e := &g.edges[v][next[v]]
				if e.kind&kinds != 0 && index[e.to] == 0 {
					work, down = append(work, e.to), true
					break // next stays: on the way back low comes from here
				}
				if e.kind&kinds != 0 && onStack[e.to] {
					low[v] = min(low[v], low[e.to])
				}
				next[v]++
			}
			if down {
				continue
			}
			work = work[:len(work)-1]
			if low[v] != index[v] {
				continue
			}
			at := len(stack) - 1
			for stack[at] != v {
				at--
			}
			if knot := stack[at:]; len(knot) > 1 {
				if inside == nil {
					inside = make([]bool, n)
				}
				for _, x := range knot {
					inside[x] = true
				}
			}
			for _, x := range stack[at:] {
				onStack[x] = false
			}
			stack = stack[:at]
		}
	}
	return inside
}

// violation tells a cycle: ends of transactions are left out of it, steps of
// real time over them are one.
func (g *graph) violation(name Anomaly, path []step) *Violation {
	v := &Violation{Anomaly: name, h: g.h}
	txns := len(g.h.txns)
	at := slices.IndexFunc(path, func(s step) bool { return s.from < txns })
	path = slices.Concat(path[at:], path[:at])
	for i := 0; i < len(path); i++ {
		from, e := path[i].from, *path[i].edge
		for e.to >= txns {
			i++
			e = *path[i].edge
		}
		v.Txns = append(v.Txns, Txn(from))
		v.Why = append(v.Why, e.because())
	}
	least := slices.Index(v.Txns, slices.Min(v.Txns))
	v.Txns = slices.Concat(v.Txns[least:], v.Txns[:least])
	v.Why = slices.Concat(v.Why[least:], v.Why[:least])
	return v
}
