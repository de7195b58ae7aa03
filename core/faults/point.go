// Package faults names the places where the code can be made wrong on purpose,
// so that every test and oracle can be shown to catch what it is there for.
//
// Only binaries built with -tags faults hold the wrong code: a place reads
//
//	if faults.On && faults.Hit(faults.AckBeforeFsync) { ... }
//
// and On is a constant. A point is one wrong line, named after what it does.
package faults

// A Point is one place that can be made wrong.
type Point uint16

// The points, by the part that holds them. Numbers have no meaning.
const (
	none Point = iota

	// consensus and safekeeper
	AckBeforeFsync // M30: an append is acknowledged before its fsync
	VoteNotDurable // M01: a vote is answered before it is durable

	pointCount
)

// names has the word by which `xenon sim --mutant` asks for a point.
var names = map[Point]string{
	AckBeforeFsync: "M30",
	VoteNotDurable: "M01",
}

// ByName finds the point that `--mutant name` means.
func ByName(name string) (Point, bool) {
	for p, n := range names {
		if n == name {
			return p, true
		}
	}
	return none, false
}
