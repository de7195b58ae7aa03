package realio

import (
	"os"
	"runtime"
)

// minProcs is how many tasks a commit blocks in the kernel at once: three
// safekeepers that sync and a mount that waits for its next request.
const minProcs = 4

// Widen lets at least minProcs goroutines be in the kernel or run at once,
// whatever the number of cores, unless the environment variable GOMAXPROCS
// says how many. It is for the start of a process that serves.
//
// A goroutine in a system call keeps its place among GOMAXPROCS until the
// runtime's monitor takes it away, 20 µs to 10 ms later. On two cores, two
// syncs so hold up the third, and every sync makes the monitor wake and hand
// places over. With a place for each that blocks, a commit takes a quarter
// less time, and less CPU (BenchmarkCommit of compute/proposer with -cpu 2,4).
func Widen() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < minProcs {
		runtime.GOMAXPROCS(minProcs)
	}
}

// cores is how much CPU work may run at once.
func cores() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }
