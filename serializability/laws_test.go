package serializability_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"xenon/core/env"
	"xenon/serializability"
)

// A world runs transactions one after the other, each at one moment of its time
// under way: what it says is strictly serializable.
type world struct {
	says   []*say
	lists  map[string][]serializability.Value
	values serializability.Value
}

var keys = []string{"x", "y", "z"}

func draw(t *rapid.T) *world {
	w := &world{lists: map[string][]serializability.Value{}}
	for i := range rapid.IntRange(1, 40).Draw(t, "transactions") {
		moment := env.Instant(100 * (i + 1))
		s := &say{from: moment - env.Instant(rapid.IntRange(0, 250).Draw(t, "before")), to: moment + env.Instant(rapid.IntRange(0, 250).Draw(t, "after"))}
		s.from = max(s.from, 1)
		fate := rapid.IntRange(0, 9).Draw(t, "fate") // 0: aborted; 1: unknown, not done; 2: unknown, done
		w.transact(t, s, fate > 1)
		switch fate {
		case 0:
			s.aborted = true
		case 1, 2:
			s.to = -1
		}
		w.says = append(w.says, s)
	}
	return w
}

// transact does a transaction, for good or not.
func (w *world) transact(t *rapid.T, s *say, keep bool) {
	mine := map[string][]serializability.Value{}
	for range rapid.IntRange(1, 4).Draw(t, "operations") {
		key := rapid.SampledFrom(keys).Draw(t, "key")
		if rapid.Bool().Draw(t, "append") {
			w.values++
			mine[key] = append(mine[key], w.values)
			s.ops = append(s.ops, add{key, w.values})
		} else {
			s.ops = append(s.ops, saw{key, slices.Concat(w.lists[key], mine[key])})
		}
	}
	for _, key := range keys {
		if keep {
			w.lists[key] = slices.Concat(w.lists[key], mine[key])
		}
	}
}

func (w *world) history() *serializability.History {
	says := make([]say, len(w.says))
	for i, s := range w.says {
		says[i] = *s
	}
	return record(says)
}

// TestSerialIsClean: no level finds anything in what really ran one after the
// other.
func TestSerialIsClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := draw(t).history().Check(serializability.StrictSerializable); err != nil {
			t.Fatal(err)
		}
	})
}

// A damage makes a history wrong in a way that cannot be explained, and tells
// whether it found a place for that.
type damage struct {
	name string
	do   func(w *world, at int) bool
}

// TestDamageIsSeen: a history that is made wrong is found to be.
func TestDamageIsSeen(t *testing.T) {
	for _, d := range []damage{
		{"a value that nobody appended", (*world).invent},
		{"a value of a transaction that was aborted", (*world).revive},
		{"an append done twice", (*world).double},
		{"two values in another order", (*world).swap},
		{"a read that misses what was over when it began", (*world).miss},
		{"a read of half a transaction", (*world).fracture},
	} {
		t.Run(d.name, func(t *testing.T) {
			found := 0
			rapid.Check(t, func(t *rapid.T) {
				w := draw(t)
				if !d.do(w, rapid.IntRange(0, 39).Draw(t, "at")%len(w.says)) {
					return
				}
				found++
				if w.history().Check(serializability.StrictSerializable) == nil {
					t.Fatalf("not seen in %v", w.says)
				}
			})
			if found == 0 {
				t.Error("no history had a place for it")
			}
		})
	}
}

// answer finds an answer in a committed transaction, from one on, of which ok is
// true. An edit of it keeps what the transaction itself appended out of play.
func (w *world) answer(at int, ok func(s *say, o saw) bool) (s *say, i int) {
	for n := range w.says {
		s := w.says[(at+n)%len(w.says)]
		if s.aborted || s.to < 0 {
			continue
		}
		for i, o := range s.ops {
			if o, read := o.(saw); read && ok(s, o) {
				return s, i
			}
		}
	}
	return nil, 0
}

// edit changes an answer.
func edit(s *say, i int, f func([]serializability.Value) []serializability.Value) bool {
	if s == nil {
		return false
	}
	o := s.ops[i].(saw)
	s.ops[i] = saw{o.key, f(slices.Clone(o.list))}
	return true
}

func (w *world) invent(at int) bool {
	s, i := w.answer(at, func(*say, saw) bool { return true })
	return edit(s, i, func(l []serializability.Value) []serializability.Value { return append(l, 1_000_000) })
}

func (w *world) revive(at int) bool {
	for _, dead := range w.says {
		for _, o := range dead.ops {
			o, isAdd := o.(add)
			if !isAdd || !dead.aborted {
				continue
			}
			s, i := w.answer(at, func(_ *say, r saw) bool { return r.key == o.key })
			return edit(s, i, func(l []serializability.Value) []serializability.Value {
				return append([]serializability.Value{o.value}, l...)
			})
		}
	}
	return false
}

func (w *world) double(at int) bool {
	s, i := w.answer(at, func(_ *say, o saw) bool { return len(o.list) > 0 })
	return edit(s, i, func(l []serializability.Value) []serializability.Value { return append(l, l[0]) })
}

func (w *world) swap(at int) bool {
	s, i := w.answer(at, func(s *say, o saw) bool {
		other, _ := w.answer(0, func(t *say, p saw) bool { return t != s && p.key == o.key && len(p.list) > 1 })
		return len(o.list) > 1 && other != nil
	})
	return edit(s, i, func(l []serializability.Value) []serializability.Value {
		l[0], l[1] = l[1], l[0]
		return l
	})
}

// writer finds who appended a value.
func (w *world) writer(v serializability.Value) *say {
	for _, s := range w.says {
		if slices.ContainsFunc(s.ops, func(o any) bool { a, ok := o.(add); return ok && a.value == v }) {
			return s
		}
	}
	panic(fmt.Sprint(v))
}

func (w *world) miss(at int) bool {
	s, i := w.answer(at, func(s *say, o saw) bool {
		if len(o.list) == 0 {
			return false
		}
		by := w.writer(o.list[len(o.list)-1])
		return by.to > 0 && by.to < s.from
	})
	return edit(s, i, func(l []serializability.Value) []serializability.Value { return l[:len(l)-1] })
}

func (w *world) fracture(at int) bool {
	s, i := w.answer(at, func(s *say, o saw) bool {
		if len(o.list) == 0 {
			return false
		}
		by := w.writer(o.list[len(o.list)-1])
		// The same reader saw what the same writer appended to another key, too.
		return by != s && slices.ContainsFunc(s.ops, func(p any) bool {
			r, read := p.(saw)
			return read && r.key != o.key && len(r.list) > 0 && slices.ContainsFunc(by.ops, func(q any) bool {
				a, is := q.(add)
				return is && a.key == r.key && slices.Contains(r.list, a.value)
			})
		})
	})
	return edit(s, i, func(l []serializability.Value) []serializability.Value { return l[:len(l)-1] })
}
