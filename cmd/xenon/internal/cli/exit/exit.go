// Package exit names the statuses that the program exits with.
package exit

// Done, Failed and Usage are what every command exits with; Superseded is
// that of `xenon run compute` when somebody else runs the branch now, so that
// whoever started it does not start it again.
const (
	Done       = 0
	Failed     = 1
	Usage      = 2
	Superseded = 3
)
