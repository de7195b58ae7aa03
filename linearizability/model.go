package linearizability

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// model is one key: a string.
var model = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		next, ok := step(state.(string), input.(Op), output.(Result))
		return ok, next
	},
	DescribeOperation: func(input, output any) string { return describe(input.(Op), output.(Result)) },
	DescribeState:     func(state any) string { return quoted(state.(string)) },
}

// step is what op does to the value v of its key, and whether it can have been
// answered with r.
func step(v string, op Op, r Result) (next string, ok bool) {
	switch op.Kind {
	case Get:
		return v, r.Value == v
	case Put:
		return op.Value, true
	case Append:
		return v + op.Value, true
	case CAS:
		if v == op.Old {
			return op.Value, r.Swapped || r.unknown
		}
		return v, !r.Swapped
	}
	panic(fmt.Sprintf("operation %d is none", op.Kind))
}

// longest is how many bytes of a value are shown to people.
const longest = 24

// quoted is a value for people: what tells it from others stands at its
// beginning, and thousands of bytes behind that would hide everything else.
func quoted(v string) string {
	if len(v) <= longest {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprintf("%q… (%d bytes)", v[:longest/2], len(v))
}

func describe(op Op, r Result) string {
	answer := ""
	switch {
	case r.unknown:
		answer = " → ?"
	case op.Kind == Get:
		answer = " → " + quoted(r.Value)
	case op.Kind == CAS:
		answer = fmt.Sprintf(" → %t", r.Swapped)
	}
	switch op.Kind {
	case Get:
		return fmt.Sprintf("get %s%s", op.Key, answer)
	case CAS:
		return fmt.Sprintf("cas %s %s %s%s", op.Key, quoted(op.Old), quoted(op.Value), answer)
	}
	return fmt.Sprintf("%s %s %s%s", op.Kind, op.Key, quoted(op.Value), answer)
}
