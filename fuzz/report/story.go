package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"xenon/fuzz"
	"xenon/linearizability"
	"xenon/netsim/picture"
)

// told is how many lines a story has.
const told = 10

// Story tells a run in ten lines: who was there, what befell them, who led, and
// the first wrong fact. Lines are in order of time.
func (r *Run) Story() []picture.Line {
	head := picture.Line{At: picture.Never, Text: r.cast()}
	lines := r.happened()
	tail := r.wrong()
	room := told - 1 - len(tail)
	if more := len(lines) - room; more > 0 {
		lines = r.choose(lines, room-1)
		head.Text += fmt.Sprintf(" (%d more faults, elections and acts are left out here)", more+1)
	}
	return append(append([]picture.Line{head}, lines...), tail...)
}

// cast is who takes part.
func (r *Run) cast() string {
	count := map[string]int{}
	for _, l := range r.Picture.Lanes {
		if len(l.Alive) > 0 {
			count[role(l.Name)]++
		}
	}
	steps, acts := len(r.Plan.Steps), len(r.Plan.Acts)
	return fmt.Sprintf("%s, %s and %s, for %.1f s; the plan has %s and %s",
		several(count["compute"], "compute"), several(count["sk"], "safekeeper"), several(count["ps"], "pageserver"),
		(r.Elapsed - r.Began).Seconds(), several(steps, "fault"), several(acts, "act")+" of operators")
}

func several(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// happened is every fault that struck, every act and every election, up to the
// failure.
func (r *Run) happened() []picture.Line {
	var lines []picture.Line
	for _, b := range r.Picture.Bands {
		switch {
		case !b.Struck || b.Kind == "cut" || b.Kind == "pause":
		case b.Kind == "fault":
			lines = append(lines, picture.Line{At: b.From, Kind: "fault", Text: r.fault(b)})
		default:
			lines = append(lines, picture.Line{At: b.From, Kind: b.Kind, Text: "an operator " + deed(b.Text)})
		}
	}
	for _, e := range r.reader.elected {
		text := fmt.Sprintf("%s is elected in term %d on %s; its log begins at %s", e.who, e.term, r.branchOf(groupOf(e.tag)), e.start)
		lines = append(lines, picture.Line{At: time.Duration(e.at), Kind: "role", Text: text})
	}
	slices.SortStableFunc(lines, func(a, b picture.Line) int { return cmp.Compare(a.At, b.At) })
	return slices.DeleteFunc(lines, func(l picture.Line) bool {
		return r.Picture.WrongAt != picture.Never && l.At > r.Picture.WrongAt
	})
}

// fault is a step in words: whom it befell, what that is, and for how long.
func (r *Run) fault(b picture.Band) string {
	var who []string
	for _, i := range b.Lanes {
		who = append(who, r.Picture.Lanes[i].Name)
	}
	words := strings.Fields(b.Text)
	class, rest := words[min(1, len(words)-1)], words[len(words)-1]
	about := class
	if list, err := fuzz.ParseClasses(class); err == nil {
		about = list[0].About()
	}
	text := about
	switch {
	case len(who) > 4:
		text = who[0] + " and others: " + about
	case len(who) > 0:
		text = strings.Join(who, ", ") + ": " + about
	}
	if d, err := time.ParseDuration(rest); err == nil {
		text += fmt.Sprintf(" (%s, %.2f s)", class, d.Seconds())
	}
	return text
}

// deed is an act in words.
func deed(act string) string {
	words := strings.Fields(act)
	switch name := words[min(1, len(words)-1)]; name {
	case "fork":
		return "makes a branch"
	case "drop":
		return "drops a branch"
	case "static":
		return "opens a read-only server at a moment of the past"
	case "join":
		return "makes a safekeeper a member"
	case "leave":
		return "takes a safekeeper out of the members"
	case "swap":
		return "replaces a safekeeper by another one"
	default:
		return "does " + name
	}
}

// choose keeps what matters most: faults before the rest, what is near the
// failure before what is long past.
func (r *Run) choose(lines []picture.Line, n int) []picture.Line {
	if n <= 0 {
		return nil
	}
	at := r.Picture.WrongAt
	if at == picture.Never {
		at = r.Elapsed
	}
	order := make([]int, len(lines))
	for i := range order {
		order[i] = i
	}
	weight := func(l picture.Line) int64 {
		d := int64(at - l.At)
		if l.Kind == "fault" {
			return d
		}
		return 2 * d
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weight(lines[a]), weight(lines[b])) })
	order = order[:n]
	slices.Sort(order)
	var kept []picture.Line
	for _, i := range order {
		kept = append(kept, lines[i])
	}
	return kept
}

// wrong is the first wrong fact, and the promise that it breaks.
func (r *Run) wrong() []picture.Line {
	if r.Err == nil {
		return []picture.Line{{At: r.Elapsed, Kind: "right", Text: "everything is healed; nothing was lost, and everybody agrees"}}
	}
	at := r.Picture.WrongAt
	fact, _, _ := strings.Cut(r.Err.Error(), "\n")
	fact = shorten(strings.TrimPrefix(strings.TrimPrefix(fact, "check: "), r.Oracle()+": "))
	var l *linearizability.Violation
	if errors.As(r.Err, &l) {
		if c, ok := l.Unexplained(); ok {
			fact = fmt.Sprintf("client %d: %s, between %.3f s and %.3f s: no order of the calls on key %q explains it", c.Client, c.Text,
				(time.Duration(c.From) - r.Began).Seconds(), (time.Duration(c.To) - r.Began).Seconds(), l.Key)
		}
	}
	what := "FIRST WRONG FACT: "
	if r.Oracle() == string(fuzz.Liveness) {
		what = "NEVER DONE, long after everything was mended: "
	}
	return []picture.Line{
		{At: at, Kind: "wrong", Text: what + fact},
		{At: picture.Never, Kind: "wrong", Text: "broken promise: " + r.Oracle()},
	}
}

// Text is the story for a terminal.
func (r *Run) Text() string {
	var b strings.Builder
	for _, l := range r.Picture.Story {
		at := strings.Repeat(" ", 9)
		if l.At != picture.Never {
			at = fmt.Sprintf("%8.3fs", (l.At - r.Began).Seconds())
		}
		fmt.Fprintf(&b, "%s  %s\n", at, l.Text)
	}
	return b.String()
}
