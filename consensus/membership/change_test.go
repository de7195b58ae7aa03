package membership_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
)

func set(ids ...int) (out []consensus.Member) {
	for _, id := range ids {
		out = append(out, consensus.Member{ID: core.NodeID(id), Host: "sk", Port: uint16(id)})
	}
	return out
}

func record(g core.Generation, members, next []consensus.Member) membership.Record {
	return membership.Record{Config: consensus.Configuration{Generation: g, Members: members, NewMembers: next}}
}

// told is a step in words.
func told(s membership.Step) string {
	switch s.Kind {
	case membership.Write:
		text := "write " + s.Record.Config.String()
		if len(s.Record.Leavers) > 0 {
			text += fmt.Sprintf(", leaving %d", s.Record.Leavers[0].ID)
		}
		return text
	case membership.Done:
		return "done"
	}
	var parts []string
	for _, t := range s.Tasks {
		part := fmt.Sprintf("%s %d", t.Kind, t.Node.ID)
		if t.Kind == membership.Bump {
			part += fmt.Sprintf(" to %d", t.Term)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

type answer struct {
	node int
	membership.Answer
}

func at(node int, g core.Generation, term, last core.Term, flush core.LSN) answer {
	return answer{node, membership.Answer{Generation: g, Term: term, Position: consensus.Position{Term: last, Flush: flush}}}
}

func missing(node int) answer { return answer{node, membership.Answer{Missing: true}} }

// TestSteps: what is next, given the register and what was answered. Every line
// is also where a driver that was interrupted goes on.
func TestSteps(t *testing.T) {
	abc, abd := set(1, 2, 3), set(1, 2, 4)
	joint := record(2, abc, abd)
	ended := record(3, abd, nil)
	ended.Leavers = set(3)
	arrived := ended.Arriving(4, "its disk")
	tests := []struct {
		name    string
		record  membership.Record
		wanted  []consensus.Member
		answers []answer
		want    string
	}{
		{"a change begins with a joint configuration", record(1, abc, nil), abd, nil, "write generation 2 of [1 2 3] turning into [1 2 4]"},
		{"who comes copies first", joint, abd, nil, "pull 4"},
		{"then the old set is told", joint, abd, []answer{at(4, 2, 5, 5, 100)}, "put 1, put 2, put 3"},
		{"one of three is not enough", joint, abd, []answer{at(4, 2, 5, 5, 100), at(1, 2, 5, 5, 120)}, "put 2, put 3"},
		{"a majority of the new set must have what one of the old may have acknowledged", joint, abd,
			[]answer{at(4, 2, 5, 5, 100), at(1, 2, 5, 5, 120), at(2, 2, 5, 5, 110)}, "put 2, put 4"},
		{"two that are level end it", joint, abd,
			[]answer{at(4, 2, 5, 5, 120), at(1, 2, 5, 5, 120), at(2, 2, 5, 5, 110)}, "write generation 3 of [1 2 4], leaving 3"},
		{"a log of a later term is ahead of a longer one", joint, abd,
			[]answer{at(4, 2, 5, 2, 200), at(1, 2, 5, 2, 200), at(2, 2, 4, 4, 100)}, "bump 2 to 5, put 4, put 1"},
		{"a promise counts that the old set gave", joint, abd,
			[]answer{at(4, 2, 5, 5, 120), at(3, 2, 7, 5, 120), at(2, 2, 5, 5, 120)}, "put 1, bump 2 to 7, bump 4 to 7"},
		{"wanting the old set takes the change back", joint, abc, nil, "write generation 3 of [1 2 3], leaving 4"},
		{"another change is ended first", joint, set(1, 2), []answer{at(4, 2, 5, 5, 120), at(1, 2, 5, 5, 120), at(2, 2, 5, 5, 120)}, "write generation 3 of [1 2 4], leaving 3"},
		{"the end is told to the new set", ended, abd, nil, "put 1, put 2, put 4"},
		{"who has left is told after a majority", ended, abd, []answer{at(1, 3, 5, 5, 120), at(4, 3, 5, 5, 120)}, "put 2, exclude 3"},
		{"who came and has no copy yet gets one", arrived, abd, []answer{at(1, 3, 5, 5, 120), at(2, 3, 5, 5, 120), missing(4)}, "pull 4, exclude 3"},
		{"who has lost the timeline gets no copy", arrived, abd, []answer{at(1, 3, 5, 5, 120), at(4, 3, 5, 5, 120), missing(2)}, "put 2, exclude 3"},
		{"nor counts as one of the old set", joint, abd, []answer{at(4, 2, 5, 5, 120), at(1, 2, 5, 5, 120), missing(2)}, "put 2, put 3"},
		{"and nobody waits for it in the end", record(3, abd, nil), abd, []answer{at(1, 3, 5, 5, 120), at(4, 3, 5, 5, 120), missing(2)}, "done"},
		{"nothing is left", record(3, abd, nil), abd, []answer{at(1, 3, 5, 5, 120), at(2, 3, 5, 5, 120), at(4, 3, 5, 5, 120)}, "done"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := membership.Toward(test.record, test.wanted)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range test.answers {
				if err := c.Answered(membership.Task{Kind: membership.Put, Node: consensus.Member{ID: core.NodeID(a.node)}}, a.Answer); err != nil {
					t.Fatal(err)
				}
			}
			if got := told(c.Next()); !sameTasks(got, test.want) {
				t.Errorf("next is %q, want %q", got, test.want)
			}
		})
	}
}

// sameTasks compares lists of tasks, whose order does not matter.
func sameTasks(a, b string) bool {
	x, y := strings.Split(a, ", "), strings.Split(b, ", ")
	for _, part := range y {
		if !strings.Contains(a, part) {
			return false
		}
	}
	return len(x) == len(y)
}

func TestNewerGenerationIsNews(t *testing.T) {
	c, err := membership.Toward(record(1, set(1, 2, 3), nil), set(1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Answered(membership.Task{Kind: membership.Put, Node: set(1)[0]}, at(1, 4, 5, 5, 100).Answer)
	if !errors.Is(err, membership.ErrSuperseded) {
		t.Errorf("%v, want %v", err, membership.ErrSuperseded)
	}
}

func TestWantedTwiceIsWantedOnce(t *testing.T) {
	r := record(1, set(1, 2, 3), nil)
	once := r.Wanted(set(4), []core.NodeID{1})
	r.Config.NewMembers, r.Config.Generation = once, 2
	if twice := r.Wanted(set(4), []core.NodeID{1}); !membership.SameMembers(once, twice) || !membership.SameMembers(once, set(2, 3, 4)) {
		t.Errorf("once %v, twice %v", once, twice)
	}
}

// TestArrivals: who comes is known as such, with one disk, until it goes.
func TestArrivals(t *testing.T) {
	abc, abd := set(1, 2, 3), set(1, 2, 4)
	step := func(r membership.Record, wanted []consensus.Member, answers ...answer) membership.Record {
		t.Helper()
		c, err := membership.Toward(r, wanted)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if err := c.Answered(membership.Task{Kind: membership.Put, Node: consensus.Member{ID: core.NodeID(a.node)}}, a.Answer); err != nil {
				t.Fatal(err)
			}
		}
		s := c.Next()
		if s.Kind != membership.Write {
			t.Fatalf("next is %q, want a new record", told(s))
		}
		return s.Record
	}
	r := step(record(1, abc, nil), abd)
	if a := r.Arrival(4); a == nil || a.Disk != "" || len(r.Arrivals) != 1 {
		t.Fatalf("arrivals are %v, want 4 without a disk", r.Arrivals)
	}
	r = step(r.Arriving(4, "d"), abd, at(4, 2, 5, 5, 120), at(1, 2, 5, 5, 120), at(2, 2, 5, 5, 120))
	if a := r.Arrival(4); a == nil || a.Disk != "d" || len(r.Arrivals) != 1 {
		t.Fatalf("arrivals are %v, want 4 on d", r.Arrivals)
	}
	r = step(r, abc)
	r = step(r, abc, at(3, 4, 5, 5, 120), at(1, 4, 5, 5, 120), at(2, 4, 5, 5, 120))
	if r.Arrival(4) != nil || r.Arrival(3) == nil {
		t.Errorf("arrivals are %v, want 3", r.Arrivals)
	}
}

func TestDeletedChangesNoMore(t *testing.T) {
	r := record(3, set(1, 2, 3), nil)
	r.Deleted = true
	if _, err := membership.Toward(r, set(1, 2)); err == nil {
		t.Error("the members of a deleted timeline can be changed")
	}
}

func FuzzDecode(f *testing.F) {
	r := record(2, set(1, 2, 3), set(2, 3, 4))
	b, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"mconf":{"generation":1,"members":[{"id":1,"host":"a","pg_port":1}]},"leavers":[{"id":2,"host":"b","pg_port":2}],"arrivals":[{"id":1,"disk":"d"}],"deleted":true}`))
	f.Add([]byte(`{"mconf":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := membership.Decode(b)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := membership.Decode(again); err != nil {
			t.Fatal(err)
		}
	})
}
