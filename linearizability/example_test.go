package linearizability_test

import (
	"errors"
	"fmt"

	"xenon/linearizability"
)

// Two clients, one register: a read that begins after a write was acknowledged
// must see it.
func Example() {
	var h linearizability.History
	put := h.Begin(1, linearizability.Op{Kind: linearizability.Put, Key: "x", Value: "new"}, 10)
	h.Return(put, linearizability.Result{}, 20)
	get := h.Begin(2, linearizability.Op{Kind: linearizability.Get, Key: "x"}, 30)
	h.Return(get, linearizability.Result{Value: ""}, 40)

	err := h.Check()
	var v *linearizability.Violation
	if errors.As(err, &v) {
		call, _ := v.Unexplained()
		fmt.Printf("%v: client %d: %s\n", err, call.Client, call.Text)
	}
	// Output: history is not linearizable: key "x": client 2: get x → ""
}

// A call whose outcome nobody learned may have taken effect, at any later time,
// or never: both answers are right.
func ExampleHistory_Unknown() {
	for _, seen := range []string{"", "new"} {
		var h linearizability.History
		put := h.Begin(1, linearizability.Op{Kind: linearizability.Put, Key: "x", Value: "new"}, 10)
		h.Unknown(put, 20)
		get := h.Begin(2, linearizability.Op{Kind: linearizability.Get, Key: "x"}, 30)
		h.Return(get, linearizability.Result{Value: seen}, 40)
		fmt.Printf("%q: %v\n", seen, h.Check())
	}
	// Output:
	// "": <nil>
	// "new": <nil>
}
