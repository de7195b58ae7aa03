package picture

import (
	"slices"
	"time"
)

// What the page reads: columns of small numbers in place of objects, times in
// microseconds, each behind the one before; texts once, by their number.

type encoded struct {
	Title   string     `json:"title"`
	Verdict string     `json:"verdict"`
	Failed  bool       `json:"failed"`
	Began   int64      `json:"began"`
	End     int64      `json:"end"`
	Failure int64      `json:"failure"` // -1 if there is none
	WrongAt int64      `json:"wrongAt"`
	Wrong   []int      `json:"wrong"`
	Story   []encLine  `json:"story"`
	Texts   []string   `json:"texts"`
	Lanes   []encLane  `json:"lanes"`
	Bands   []encBand  `json:"bands"`
	Arrows  encColumns `json:"arrows"` // at, took (-1: lost), from, to, kind, text, bytes
	Marks   encColumns `json:"marks"`  // at, lane, kind, text
	Series  []encCurve `json:"series"`
	Unit    string     `json:"unit"`
	Calls   encColumns `json:"calls"` // from, took (-1: unknown), client, group, text, key, outcome
	Pages   []Page     `json:"pages"`
	Omitted []string   `json:"omitted"`
	Changes []Change   `json:"changes"`
}

type encLine struct {
	At   int64  `json:"t"`
	Text string `json:"x"`
	Kind string `json:"k"`
}

type encSpan [5]any // from, to, text, kind, number

type encLane struct {
	Name  string    `json:"name"`
	Rank  int       `json:"rank"`
	Aside bool      `json:"aside"`
	Alive []encSpan `json:"alive"`
	Roles []encSpan `json:"roles"`
	Load  []int     `json:"load"`
}

type encBand struct {
	From   int64  `json:"f"`
	To     int64  `json:"t"`
	Lanes  []int  `json:"l"`
	Text   string `json:"x"`
	Kind   string `json:"k"`
	Struck bool   `json:"s"`
	Effect bool   `json:"e"`
}

type encColumns [][]int64

type encCurve struct {
	Name  string   `json:"name"`
	Lane  int      `json:"lane"`
	Group string   `json:"group"`
	At    []int64  `json:"t"`
	Value []uint64 `json:"v"` // behind Least
	Least uint64   `json:"o"`
}

// texts gives every text a number.
type texts struct {
	list []string
	at   map[string]int64
}

func (t *texts) of(s string) int64 {
	i, ok := t.at[s]
	if !ok {
		i = int64(len(t.list))
		t.list = append(t.list, s)
		t.at[s] = i
	}
	return i
}

func micros(d time.Duration) int64 {
	if d == Never {
		return -1
	}
	return d.Microseconds()
}

// encode makes what the page reads.
func (p *Picture) encode() *encoded {
	e := &encoded{Title: p.Title, Verdict: p.Verdict, Failed: p.Failed, Unit: p.Unit, Began: micros(p.Began), End: micros(p.End), Failure: micros(p.Failure), WrongAt: micros(p.WrongAt),
		Wrong: append([]int{}, p.Wrong...), Story: []encLine{}, Lanes: []encLane{}, Bands: []encBand{}, Series: []encCurve{}, Pages: append([]Page{}, p.Pages...),
		Omitted: append([]string{}, p.Omitted...), Changes: append([]Change{}, p.Changes...)}
	for _, l := range p.Story {
		e.Story = append(e.Story, encLine{micros(l.At), l.Text, l.Kind})
	}
	for _, l := range p.Lanes {
		e.Lanes = append(e.Lanes, encLane{l.Name, l.Rank, l.Aside, spans(l.Alive), spans(l.Roles), l.Load})
	}
	for _, b := range p.Bands {
		e.Bands = append(e.Bands, encBand{micros(b.From), micros(b.To), append([]int{}, b.Lanes...), b.Text, b.Kind, b.Struck, b.Effect})
	}
	t := &texts{at: map[string]int64{}}
	e.Arrows, e.Marks, e.Calls = p.arrows(t), p.marks(t), p.calls(t)
	for _, s := range p.Series {
		e.Series = append(e.Series, s.encode())
	}
	e.Texts = append([]string{}, t.list...)
	return e
}

func spans(list []Span) []encSpan {
	out := []encSpan{}
	for _, s := range list {
		out = append(out, encSpan{micros(s.From), micros(s.To), s.Text, s.Kind, s.Number})
	}
	return out
}

func (p *Picture) arrows(t *texts) encColumns {
	c := columns(7, len(p.Arrows))
	last := int64(0)
	for i := range p.Arrows {
		a := &p.Arrows[i]
		at, took := micros(a.Sent), int64(-1)
		if a.Arrived != Never {
			took = micros(a.Arrived) - at
		}
		c.add(at-last, took, int64(a.From), int64(a.To), t.of(a.Kind), t.of(a.Text), int64(a.Bytes))
		last = at
	}
	return c
}

func (p *Picture) marks(t *texts) encColumns {
	c := columns(4, len(p.Marks))
	last := int64(0)
	for i := range p.Marks {
		m := &p.Marks[i]
		at := micros(m.At)
		c.add(at-last, int64(m.Lane), t.of(m.Kind), t.of(m.Text))
		last = at
	}
	return c
}

func (p *Picture) calls(t *texts) encColumns {
	c := columns(7, len(p.Calls))
	last := int64(0)
	for i := range p.Calls {
		l := &p.Calls[i]
		at, took := micros(l.From), int64(-1)
		if l.To != Never {
			took = micros(l.To) - at
		}
		c.add(at-last, took, int64(l.Client), t.of(l.Group), t.of(l.Text), t.of(l.Key), t.of(l.Outcome))
		last = at
	}
	return c
}

func columns(width, height int) encColumns {
	c := make(encColumns, width)
	for i := range c {
		c[i] = make([]int64, 0, height)
	}
	return c
}

func (c encColumns) add(values ...int64) {
	for i, v := range values {
		c[i] = append(c[i], v)
	}
}

func (s *Series) encode() encCurve {
	c := encCurve{Name: s.Name, Lane: s.Lane, Group: s.Group, At: []int64{}, Value: []uint64{}}
	if len(s.Value) == 0 {
		return c
	}
	c.Least = slices.Min(s.Value)
	last := int64(0)
	for i, v := range s.Value {
		at := micros(s.At[i])
		c.At, c.Value = append(c.At, at-last), append(c.Value, v-c.Least)
		last = at
	}
	return c
}
