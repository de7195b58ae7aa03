package picture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"xenon/netsim"
)

// A Label is what a message means.
type Label struct {
	Kind   string // few different ones: they are coloured and filtered by
	Text   string
	Weight Weight
}

// A Reader makes words of what a [Recorder] does not understand.
type Reader interface {
	// Message is told of all bytes that one end of a connection sends, in
	// order, and labels what each of them carries.
	Message(conn uint64, from, to string, data []byte) Label
	// Note is told of everything that a part notes or shows, and of every
	// operation of disks and buckets. It may call the Recorder. It returns
	// false for what the Recorder is to mark as it does by itself.
	Note(r *Recorder, d *netsim.Detail) bool
}

// A Recorder makes a picture of a run while it goes on. It is used by one
// world.
type Recorder struct {
	reader Reader
	lanes  []Lane
	byName map[string]int
	since  []time.Duration // of the running incarnation; Never if none runs
	roles  []bool          // whether the last role goes on
	flows  map[uint64]*flow
	arrows []Arrow
	marks  []Mark
	bands  []Band
	series map[string]int
	curves []Series
	focus  []time.Duration
	now    time.Duration
	prints []print
	cuts   map[[2]int]int // from, to: its band
	strike int            // the band that names everybody whom something befalls now; -1 is none
}

// flow is what one end of a connection has sent and the other has not got.
type flow struct{ sent []int } // arrows

// print is enough of an event to compare runs.
type print struct {
	at                int64
	hash              uint64
	kind, who, detail string
}

// New makes a recorder. Lanes come in the order of names given; others follow
// as they are heard of.
func New(r Reader, lanes ...string) *Recorder {
	rec := &Recorder{reader: r, byName: map[string]int{}, flows: map[uint64]*flow{}, series: map[string]int{}, cuts: map[[2]int]int{}, strike: -1}
	for _, name := range lanes {
		rec.Lane(name)
	}
	return rec
}

// Lane finds the lane of that name, or adds it.
func (r *Recorder) Lane(name string) int {
	if i, ok := r.byName[name]; ok {
		return i
	}
	r.lanes = append(r.lanes, Lane{Name: name})
	r.since, r.roles = append(r.since, Never), append(r.roles, false)
	r.byName[name] = len(r.lanes) - 1
	return len(r.lanes) - 1
}

// Now is the time of the last event.
func (r *Recorder) Now() time.Duration { return r.now }

// Focus says that this moment matters: what is near it is kept.
func (r *Recorder) Focus() { r.focus = append(r.focus, r.now) }

// Role says that a lane has a role from now on; an empty text ends the last.
func (r *Recorder) Role(lane int, kind, text string, number uint64) {
	l := &r.lanes[lane]
	if r.roles[lane] {
		last := &l.Roles[len(l.Roles)-1]
		if last.Kind == kind && last.Text == text {
			return
		}
		last.To = r.now
	}
	if r.roles[lane] = text != ""; r.roles[lane] {
		l.Roles = append(l.Roles, Span{From: r.now, To: Never, Kind: kind, Text: text, Number: number})
	}
}

// Value puts a point on a curve.
func (r *Recorder) Value(group, name string, lane int, v uint64) {
	key := fmt.Sprintf("%s %s %d", group, name, lane)
	i, ok := r.series[key]
	if !ok {
		i = len(r.curves)
		r.series[key] = i
		r.curves = append(r.curves, Series{Name: name, Group: group, Lane: lane})
	}
	s := &r.curves[i]
	if n := len(s.Value); n > 0 && s.Value[n-1] == v {
		return
	}
	s.At, s.Value = append(s.At, r.now), append(s.Value, v)
}

// Mark marks an event on a lane.
func (r *Recorder) Mark(lane int, kind, text string, w Weight) {
	r.marks = append(r.marks, Mark{At: r.now, Lane: lane, Kind: kind, Text: text, Weight: w})
}

// Begin begins a band, and returns what End takes. A band that has a To ends
// then.
func (r *Recorder) Begin(b Band) int {
	if b.From = r.now; b.To == 0 {
		b.To = Never
	}
	r.bands = append(r.bands, b)
	return len(r.bands) - 1
}

// Band is a band that was begun, for changes.
func (r *Recorder) Band(i int) *Band { return &r.bands[i] }

// End ends a band.
func (r *Recorder) End(i int) { r.bands[i].To = r.now }

// Strike says that whatever befalls processes from now on is what this band is
// about, until Strike(-1).
func (r *Recorder) Strike(band int) { r.strike = band }

// Befell says that the band of Strike is about this lane.
func (r *Recorder) Befell(lane int) {
	if r.strike >= 0 && !slices.Contains(r.bands[r.strike].Lanes, lane) {
		r.bands[r.strike].Lanes = append(r.bands[r.strike].Lanes, lane)
	}
}

// Record is netsim.Options.Record.
func (r *Recorder) Record(d netsim.Detail) {
	r.now = time.Duration(d.At)
	if d.Hash != 0 || d.A != 0 {
		r.prints = append(r.prints, print{d.At, d.Hash ^ d.A<<1 ^ d.B<<20 ^ d.C<<40, d.Kind, d.Proc, d.Name})
	}
	switch d.Kind {
	case "start":
		r.started(&d)
	case "kill", "power", "exit":
		r.ended(&d)
	case "pause", "resume":
		r.Mark(r.Lane(d.Proc), "process "+d.Kind, d.Kind, Telling)
		r.paused(&d)
	case "send":
		r.sent(&d)
	case "deliver":
		r.delivered(&d)
	case "lose":
		if f := r.flows[d.A]; f != nil {
			f.sent = f.sent[:0]
		}
	case "dial", "accept":
		r.Mark(r.Lane(d.Proc), "net "+d.Kind, d.Kind+" "+d.Peer, Common)
	case "fail":
		r.Befell(r.Lane(d.Proc))
		r.Mark(r.Lane(d.Proc), "net reset", "connection with "+d.Peer+" fails", Common)
	case "cut", "heal":
		r.link(&d)
	default:
		if !r.reader.Note(r, &d) {
			r.note(&d)
		}
	}
}

func (r *Recorder) started(d *netsim.Detail) {
	i := r.Lane(d.Proc)
	r.since[i] = r.now
	r.lanes[i].Alive = append(r.lanes[i].Alive, Span{From: r.now, To: Never, Number: uint64(d.Incarnation)})
	r.Mark(i, "process start", fmt.Sprintf("incarnation %d starts", d.Incarnation), Telling)
}

func (r *Recorder) ended(d *netsim.Detail) {
	i := r.Lane(d.Proc)
	r.Befell(i)
	r.since[i] = Never
	r.Role(i, "", "", 0)
	if a := r.lanes[i].Alive; len(a) > 0 {
		a[len(a)-1].To, a[len(a)-1].Text = r.now, d.Kind
	}
	text := map[string]string{"kill": "killed", "power": "power cut", "exit": "ends by itself"}[d.Kind]
	r.Mark(i, "process "+d.Kind, fmt.Sprintf("incarnation %d: %s", d.Incarnation, text), Telling)
}

// paused draws the time in which a process stands still.
func (r *Recorder) paused(d *netsim.Detail) {
	i := r.Lane(d.Proc)
	if d.Kind == "pause" {
		r.Befell(i)
		r.Begin(Band{Lanes: []int{i}, Text: d.Proc + " stands still", Kind: "pause", Struck: true, Effect: true})
		return
	}
	for k := len(r.bands) - 1; k >= 0; k-- {
		if b := &r.bands[k]; b.Kind == "pause" && b.Lanes[0] == i && b.To == Never {
			r.End(k)
			return
		}
	}
}

// link draws the time in which one host does not hear another.
func (r *Recorder) link(d *netsim.Detail) {
	from, to := r.byName[d.Proc], r.byName[d.Peer]
	_, ok1 := r.byName[d.Proc]
	_, ok2 := r.byName[d.Peer]
	if !ok1 || !ok2 {
		return // a host of nobody who is shown
	}
	if d.Kind == "cut" {
		r.Befell(from)
		r.Befell(to)
	}
	pair := [2]int{from, to}
	if at, cut := r.cuts[pair]; cut && d.Kind == "heal" {
		r.End(at)
		delete(r.cuts, pair)
	} else if !cut && d.Kind == "cut" {
		r.cuts[pair] = r.Begin(Band{Lanes: []int{from, to}, Text: d.Peer + " does not hear " + d.Proc, Kind: "cut", Struck: true, Effect: true})
	}
}

func (r *Recorder) sent(d *netsim.Detail) {
	l := Label{Kind: "bytes"}
	switch d.C {
	case 1:
		l = Label{Kind: "close", Text: "end of the stream"}
	case 2:
		l = Label{Kind: "reset", Text: "reset"}
	default:
		if l = r.reader.Message(d.A, d.Proc, d.Peer, d.Data); l.Kind == "" {
			l.Kind = "bytes"
		}
	}
	f := r.flows[d.A]
	if f == nil {
		f = &flow{}
		r.flows[d.A] = f
	}
	f.sent = append(f.sent, len(r.arrows))
	r.arrows = append(r.arrows, Arrow{Sent: r.now, Arrived: Never, From: r.Lane(d.Proc), To: r.Lane(d.Peer),
		Kind: l.Kind, Text: l.Text, Bytes: int(d.B), Weight: l.Weight})
}

func (r *Recorder) delivered(d *netsim.Detail) {
	from := d.A - 1 // the two ends of a connection have numbers in a row
	if d.A%2 == 1 {
		from = d.A + 1
	}
	if f := r.flows[from]; f != nil && len(f.sent) > 0 {
		r.arrows[f.sent[0]].Arrived = r.now
		f.sent = f.sent[1:]
	}
}

// note marks what neither the recorder nor its reader knows.
func (r *Recorder) note(d *netsim.Detail) {
	who, name := d.Proc, d.Name
	kind := "note " + d.Kind
	if who == "" {
		var found bool
		if who, name, found = strings.Cut(d.Name, ":"); found {
			kind = Operation(d.Kind)
		}
	}
	if who == "" {
		return
	}
	text := d.Kind + " " + name
	if d.Proc != "" && d.Name == "" {
		text = fmt.Sprintf("%s %d %d %d %d", d.Kind, d.A, d.B, d.C, d.D)
	} else if d.B|d.C != 0 {
		text += fmt.Sprintf(" (%d, %d)", d.B, d.C)
	}
	r.Mark(r.Lane(who), kind, text, Common)
}

// Operation is the kind of mark for an operation of a disk or an object store.
func Operation(op string) string {
	switch op {
	case "put", "get", "head", "list", "delete", "lost", "copy":
		return "object " + op
	}
	return "disk " + op
}

// Difference tells where two runs parted: what each did then, in words. It is
// false if they did not.
func Difference(a, b *Recorder) (at time.Duration, this, other string, differ bool) {
	n := min(len(a.prints), len(b.prints))
	for i := range n {
		if a.prints[i] != b.prints[i] {
			return time.Duration(min(a.prints[i].at, b.prints[i].at)), a.prints[i].text(), b.prints[i].text(), true
		}
	}
	if len(a.prints) == len(b.prints) {
		return 0, "", "", false
	}
	end := func(r *Recorder) string {
		if len(r.prints) > n {
			return r.prints[n].text()
		}
		return "nothing more"
	}
	return min(a.now, b.now), end(a), end(b), true
}

func (p print) text() string {
	return strings.Join(slices.DeleteFunc([]string{p.who, p.kind, p.detail}, func(s string) bool { return s == "" }), " ")
}
