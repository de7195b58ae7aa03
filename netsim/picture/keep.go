package picture

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Limits bound what a picture holds one by one: a browser opens it at once, and
// it stays below some 5 MB whatever the run was.
type Limits struct {
	Arrows, Marks, Points, Calls int
}

// DefaultLimits are those that [Recorder.Picture] goes by.
var DefaultLimits = Limits{Arrows: 12_000, Marks: 8_000, Points: 1_500, Calls: 4_000}

// loadBins is in how many parts a run is cut for Lane.Load.
const loadBins = 600

// Picture ends the recording. failure is when the run was stopped, Never if it
// was not, and wrong when the first wrong fact was.
func (r *Recorder) Picture(end, failure, wrong time.Duration, lim Limits) *Picture {
	r.now = max(r.now, end)
	p := &Picture{End: r.now, Failure: failure, WrongAt: wrong, Lanes: r.lanes, Bands: r.bands}
	for _, at := range []time.Duration{failure, wrong} {
		if at != Never {
			r.focus = append(r.focus, at)
		}
	}
	slices.Sort(r.focus)
	for i := range p.Lanes {
		closeSpans(p.Lanes[i].Alive, r.now)
		closeSpans(p.Lanes[i].Roles, r.now)
		p.Lanes[i].Load = make([]int, loadBins)
	}
	for i := range p.Bands {
		if b := &p.Bands[i]; b.To == Never || b.To > r.now {
			b.To = r.now
		}
	}
	bin := func(at time.Duration) int { return min(loadBins-1, int(int64(at)*loadBins/max(1, int64(r.now)))) }
	for i := range r.arrows {
		a := &r.arrows[i]
		p.Lanes[a.From].Load[bin(a.Sent)]++
		if a.Arrived != Never {
			p.Lanes[a.To].Load[bin(a.Arrived)]++
		}
	}
	for i := range r.marks {
		p.Lanes[r.marks[i].Lane].Load[bin(r.marks[i].At)]++
	}
	p.Arrows = keep(r, p, "messages", r.arrows, lim.Arrows, func(a *Arrow) (time.Duration, Weight) { return a.Sent, a.Weight })
	p.Marks = keep(r, p, "events of processes, disks and the object store", r.marks, lim.Marks,
		func(m *Mark) (time.Duration, Weight) { return m.At, m.Weight })
	for _, s := range r.curves {
		p.Series = append(p.Series, thin(s, lim.Points))
	}
	return p
}

func closeSpans(list []Span, end time.Duration) {
	for i := range list {
		if list[i].To == Never {
			list[i].To = end
		}
	}
}

// keep keeps what tells most: first what is Telling, then what is nearest to a
// moment that matters, the last of them first.
func keep[T any](r *Recorder, p *Picture, what string, all []T, limit int, of func(*T) (time.Duration, Weight)) []T {
	if len(all) <= limit {
		return all
	}
	type item struct {
		i    int
		rank time.Duration
	}
	items := make([]item, len(all))
	for i := range all {
		at, w := of(&all[i])
		items[i] = item{i, r.distance(at)}
		if w == Telling {
			items[i].rank = Never
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.i, a.i)) })
	items = items[:limit]
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.i, b.i) })
	kept := make([]T, len(items))
	for i, x := range items {
		kept[i] = all[x.i]
	}
	p.Omitted = append(p.Omitted, fmt.Sprintf("%d of %d %s are drawn one by one: those nearest to the failure, to faults and to changes of role", limit, len(all), what))
	return kept
}

// Calls puts calls of clients into a picture, limit of them at most.
func (r *Recorder) Calls(p *Picture, calls []Call, limit int) {
	p.Calls = keep(r, p, "calls of clients", calls, limit, func(c *Call) (time.Duration, Weight) { return c.From, Common })
}

// distance is how far a moment is from one that matters. What lies behind such
// a moment tells more than what lies before it.
func (r *Recorder) distance(at time.Duration) time.Duration {
	i, _ := slices.BinarySearch(r.focus, at)
	d := time.Duration(1 << 62)
	if i < len(r.focus) {
		d = r.focus[i] - at
		if i == len(r.focus)-1 {
			d /= 4 // the end of the run
		}
	}
	if i > 0 {
		d = min(d, (at-r.focus[i-1])/2)
	}
	return d
}

// thin leaves points of a curve out that nobody could see.
func thin(s Series, limit int) Series {
	if len(s.At) <= limit {
		return s
	}
	out := Series{Name: s.Name, Lane: s.Lane, Group: s.Group}
	every := (len(s.At) + limit - 1) / limit
	for i := range s.At {
		falls := i > 0 && s.Value[i] < s.Value[i-1] || i+1 < len(s.At) && s.Value[i+1] < s.Value[i]
		if i%every == 0 || falls || i == len(s.At)-1 {
			out.At, out.Value = append(out.At, s.At[i]), append(out.Value, s.Value[i])
		}
	}
	return out
}
