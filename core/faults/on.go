//go:build faults

package faults

import "sync/atomic"

// On tells whether this binary can hit planted faults.
const On = true

var planted [pointCount]atomic.Bool

// Plant makes the code at p misbehave until the returned function is called.
// It panics on a point that does not exist.
func Plant(p Point) (undo func()) {
	planted[p].Store(true)
	return func() { planted[p].Store(false) }
}

// Hit tells whether the fault at p is planted.
func Hit(p Point) bool { return planted[p].Load() }
