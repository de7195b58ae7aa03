package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"xenon/core"
	"xenon/netsim"
	"xenon/netsim/picture"
)

// reader tells a recorder what happens in an installation.
type reader struct {
	rec     *picture.Recorder
	streams map[uint64]*stream
	first   uint64         // tag of the first timeline: the one whose terms are the roles of safekeepers
	open    map[string]int // bands of steps and acts under way, by their text
	last    int            // the band that is being struck
	began   int64          // ns
	elected []election
	leads   map[string]uint64 // the highest term that a process has won
}

// election is one that was won.
type election struct {
	at    int64 // ns
	who   string
	tag   uint64
	term  uint64
	start core.LSN
}

func newReader() *reader {
	return &reader{streams: map[uint64]*stream{}, open: map[string]int{}, leads: map[string]uint64{}}
}

// Message implements picture.Reader.
func (r *reader) Message(conn uint64, from, to string, data []byte) picture.Label {
	s := r.streams[conn]
	if s == nil {
		s = &stream{from: from, to: to}
		if conn%2 == 1 {
			s.peer = r.streams[conn+1]
		} else {
			s.peer = r.streams[conn-1]
		}
		r.streams[conn] = s
	}
	l := s.feed(data)
	if l.Kind == "vote" && s.asked > r.leads[from] {
		r.rec.Focus()
		r.rec.Role(r.rec.Lane(from), "candidate", "candidate", 0)
	}
	return l
}

// Note implements picture.Reader.
func (r *reader) Note(rec *picture.Recorder, d *netsim.Detail) bool {
	switch d.Kind {
	case "begun":
		r.began = d.At
	case "fault", "fault.struck", "fault.end", "befell", "act", "act.end":
		r.plan(d)
	case "clock", "slow", "drift":
		lane := rec.Lane(d.Proc)
		if d.A != 0 {
			rec.Befell(lane)
			rec.Mark(lane, "process "+d.Kind, fmt.Sprintf("%s by %d", d.Kind, int64(d.A)), picture.Telling)
		}
	case "disk.error":
		rec.Mark(rec.Lane(d.Proc), "disk error", d.Name, picture.Common)
	case "log":
		w := picture.Common
		if d.A >= 4 && d.A < 1<<20 { // slog.LevelWarn; below zero it is for those who debug
			w = picture.Telling
		}
		rec.Mark(rec.Lane(d.Proc), "log", shorten(d.Name), w)
	default:
		return r.part(d) || r.operation(d)
	}
	return true
}

// plan is told of what the plan of the run does.
func (r *reader) plan(d *netsim.Detail) {
	rec := r.rec
	switch d.Kind {
	case "fault":
		rec.Focus()
		r.last = rec.Begin(picture.Band{Text: d.Name, Kind: "fault", To: rec.Now() + time.Duration(d.A)})
		r.open[d.Name] = r.last
		rec.Strike(r.last)
	case "fault.struck":
		b := rec.Band(r.last)
		if b.Struck = d.A == 1; !b.Struck {
			b.To = b.From
		}
		rec.Strike(-1)
	case "befell":
		rec.Befell(rec.Lane(d.Proc))
	case "fault.end":
		if i, ok := r.open[d.Name]; ok {
			rec.Band(i).Effect = d.A == 1
			delete(r.open, d.Name)
		}
	case "act":
		rec.Focus()
		r.open[d.Name] = rec.Begin(picture.Band{Text: d.Name, Kind: "work", Struck: true, Effect: true})
	case "act.end":
		if i, ok := r.open[d.Name]; ok {
			rec.End(i)
			delete(r.open, d.Name)
		}
	}
}

// part is told of what parts note.
func (r *reader) part(d *netsim.Detail) bool {
	who, event, ok := strings.Cut(d.Kind, ".")
	if !ok || d.Proc == "" {
		return false
	}
	rec, lane, group := r.rec, r.rec.Lane(d.Proc), groupOf(d.A)
	mark := func(format string, args ...any) {
		rec.Mark(lane, "note "+d.Kind, fmt.Sprintf(format, args...), picture.Telling)
	}
	value := func(name string, lsn uint64) {
		if lsn != 0 {
			rec.Value(group, name, lane, lsn)
		}
	}
	if r.first == 0 && who == "safekeeper" {
		r.first = d.A
	}
	main := d.A == r.first
	switch who + "." + event {
	case "proposer.elected":
		rec.Focus()
		r.leads[d.Proc] = d.B
		rec.Role(lane, "leader", fmt.Sprintf("leads term %d", d.B), d.B)
		mark("elected in term %d, log begins at %s", d.B, core.LSN(d.C))
		r.elected = append(r.elected, election{d.At, d.Proc, d.A, d.B, core.LSN(d.C)})
	case "proposer.commit":
		value("commit", d.C)
	case "safekeeper.vote":
		said := "refuses its vote"
		if d.D == 1 {
			said = "gives its vote"
		}
		mark("%s in term %d, flush %s", said, d.B, core.LSN(d.C))
		if main && d.D == 1 {
			rec.Role(lane, "voter", fmt.Sprintf("term %d", d.B), d.B)
		}
	case "safekeeper.elected":
		if d.D == 0 {
			mark("ignores an elected proposer of term %d", d.B)
			break
		}
		mark("takes the log of term %d, from %s on", d.B, core.LSN(d.C))
		if main {
			rec.Role(lane, "follower", fmt.Sprintf("term %d", d.B), d.B)
		}
	case "safekeeper.write":
		value("write", d.C)
	case "endpoint.ready":
		mark("its server takes connections, in term %d from %s on", d.B, core.LSN(d.C))
	case "safekeeper.ack":
		value("flush", d.C)
		value("commit", d.D)
	case "pageserver.record":
		value("ingest", d.C)
	case "pageserver.disk":
		value("disk", d.B)
		mark("its disk holds everything up to %s", core.LSN(d.B))
	case "pageserver.remote":
		value("remote", d.B)
	case "pageserver.open":
		value("disk", d.B)
		mark("opens the timeline at %s", core.LSN(d.B))
	default:
		mark("%s %s", d.Kind, numbers(d))
	}
	return true
}

// numbers are those of an event that nobody has words for: what looks like an
// LSN is written as one.
func numbers(d *netsim.Detail) string {
	var parts []string
	for _, v := range []uint64{d.B, d.C, d.D} {
		if v >= 1<<20 {
			parts = append(parts, core.LSN(v).String())
		} else {
			parts = append(parts, fmt.Sprint(v))
		}
	}
	return strings.Join(parts, " ")
}

// operation is told of what disks and the object store do. Their names begin
// with whose they are.
func (r *reader) operation(d *netsim.Detail) bool {
	who, name, ok := strings.Cut(d.Name, ":")
	if !ok || d.Proc != "" {
		return false
	}
	kind := picture.Operation(d.Kind)
	if strings.HasPrefix(kind, "object") {
		w := picture.Common
		if d.Kind == "put" || d.Kind == "delete" {
			w = picture.Telling
		}
		r.rec.Mark(r.rec.Lane("bucket"), kind, fmt.Sprintf("%s: %s %s, %d bytes", who, d.Kind, shorten(name), d.B), w)
		return true
	}
	text := fmt.Sprintf("%s %s", d.Kind, shorten(name))
	if d.Kind == "write" || d.Kind == "read" {
		text += fmt.Sprintf(", %d bytes at %d", d.C, d.B)
	}
	r.rec.Mark(r.rec.Lane(who), kind, text, picture.Common)
	return true
}

// ids are those of tenants and timelines in names of files and objects: as long
// as they are they hide the rest.
var ids = regexp.MustCompile(`[0-9a-f]{32}`)

func shorten(name string) string {
	return ids.ReplaceAllStringFunc(name, func(s string) string { return s[:4] + "…" })
}

// groupOf names the curves of a timeline before its branch is known.
func groupOf(tag uint64) string { return fmt.Sprintf("%016x", tag) }
