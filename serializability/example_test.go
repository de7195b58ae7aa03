package serializability_test

import (
	"fmt"
	"testing"

	"xenon/core/env"

	"xenon/serializability"
)

// Two transfers at once, each of which looked at what the other was about to
// write: no order of the two explains both. Under snapshot isolation that is
// allowed, and has a name.
func Example() {
	var h serializability.History
	a := h.Begin(1, 10)
	b := h.Begin(2, 11)
	h.Read(a, "savings", nil)
	h.Read(b, "checking", nil)
	h.Append(a, "checking", 1)
	h.Append(b, "savings", 2)
	h.Commit(a, 20)
	h.Commit(b, 21)
	c := h.Begin(1, 30)
	h.Read(c, "checking", []serializability.Value{1})
	h.Read(c, "savings", []serializability.Value{2})
	h.Commit(c, 31)

	fmt.Println(h.Check(serializability.SnapshotIsolation))
	fmt.Println(h.Check(serializability.Serializable))
	// Output:
	// <nil>
	// transactions are not isolated: G2
	//   T0, client 1: read savings [], append checking 1
	//     rw: it read savings without 2, which T1 appended
	//   T1, client 2: read checking [], append savings 2
	//     rw: it read checking without 1, which T0 appended
}

// A transaction whose outcome nobody learned may have taken place or not. It
// cannot have done so by half.
func ExampleHistory_Unknown() {
	for _, seen := range []struct{ x, y []serializability.Value }{{nil, nil}, {l(1), l(1)}, {l(1), nil}} {
		var h serializability.History
		t := h.Begin(1, 10)
		h.Append(t, "x", 1)
		h.Append(t, "y", 1)
		h.Unknown(t)
		r := h.Begin(2, 20)
		h.Read(r, "x", seen.x)
		h.Read(r, "y", seen.y)
		h.Commit(r, 21)
		fmt.Println(h.Check(serializability.Serializable) == nil)
	}
	// Output:
	// true
	// true
	// false
}

// Twenty thousand transactions on a hundred keys take a fraction of a second.
func BenchmarkCheck(b *testing.B) {
	var h serializability.History
	lists := make([][]serializability.Value, 100)
	for i := range 20_000 {
		t := h.Begin(i%8, env.Instant(10*i))
		k, m := i*7%100, i*13%100
		h.Read(t, fmt.Sprint(k), lists[k])
		h.Append(t, fmt.Sprint(m), serializability.Value(i+1))
		lists[m] = append(lists[m], serializability.Value(i+1))
		h.Commit(t, env.Instant(10*i+25))
	}
	for b.Loop() {
		if err := h.Check(serializability.StrictSerializable); err != nil {
			b.Fatal(err)
		}
	}
}
