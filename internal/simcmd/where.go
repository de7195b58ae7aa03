package simcmd

import (
	"fmt"
	"strings"
	"time"

	"xenon/fuzz"
)

// whereTail is how many events before a stop are shown.
const whereTail = 15

// Where tells what a run was at that was to end early.
func Where(r *fuzz.Result) string {
	if r.Stopped == "" {
		return fmt.Sprintf("the run ended after %d steps and never came to it", r.Steps)
	}
	var b strings.Builder
	b.WriteString("stopped at " + r.Stopped + "last events:\n")
	for _, e := range r.Recent[max(0, len(r.Recent)-whereTail):] {
		fmt.Fprintf(&b, "  %12.6fs %-20s %x %x %x %x\n", time.Duration(e.At-int64(r.Began)).Seconds(), e.Kind, e.A, e.B, e.C, e.D)
	}
	return b.String()
}
