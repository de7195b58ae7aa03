package cli

import (
	"fmt"
	"os"
	"time"
)

// progressEvery is how often a line of progress is written again.
const progressEvery = 200 * time.Millisecond

// progress makes tell show how far long work is, if standard error is a
// terminal; elsewhere nothing is shown. done ends the line.
func (g *Globals) progress(what string, tell *func(done, total int64)) (done func()) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	var last time.Time
	*tell = func(n, total int64) {
		if now := time.Now(); n == total || now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(g.Stderr, "\r%s %s of %s (%d %%) ", what, bytesText(uint64(n)), bytesText(uint64(total)), 100*n/max(1, total))
		}
	}
	return func() { fmt.Fprintln(g.Stderr) }
}
