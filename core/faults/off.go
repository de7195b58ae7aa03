//go:build !faults

package faults

// On tells whether this binary can hit planted faults.
const On = false

// Plant panics: this binary was built without the tag faults.
func Plant(Point) (undo func()) { panic("built without -tags faults") }

// Hit is never called where On is false.
func Hit(Point) bool { return false }
