package realio

import (
	"os"
	"runtime"
)

// minProcs is twice what a commit blocks in the kernel at once: three
// safekeepers that sync and a mount that waits for its next request.
const minProcs = 8

// Widen lets at least minProcs goroutines be in the kernel or run at once,
// whatever the number of cores, unless the environment variable GOMAXPROCS
// says how many. It is for the start of a process that serves.
//
// A goroutine in a system call keeps its place among GOMAXPROCS until the
// runtime's monitor takes it away, 20 µs to 10 ms later. With no place to
// spare, a sync holds up another, and every sync makes the monitor wake and
// hand its place over. While places are idle the monitor leaves those that
// block alone, and goes to sleep itself. docs/bench.md has the measurements of
// 4, 6, 8, 12 and 16: more than 8 costs wakes of threads that find nothing.
func Widen() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < minProcs {
		runtime.GOMAXPROCS(minProcs)
	}
}

// cores is how much CPU work may run at once.
func cores() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }
