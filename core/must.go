package core

import "fmt"

// A Violation is the panic value of a broken invariant. A node that finds one
// stops: being wrong about itself, it must say nothing more to others.
type Violation struct{ Text string }

func (v Violation) Error() string { return "invariant broken: " + v.Text }

// Must panics with a [Violation] unless ok. It states what the code relies on
// and stays on in production. Bytes from a network or a disk are input, not
// invariants: they get errors.
func Must(ok bool, format string, args ...any) {
	if !ok {
		panic(Violation{fmt.Sprintf(format, args...)})
	}
}
