// Command xenon is the whole system in one binary: it starts an installation,
// talks to a running one, runs single roles, simulates, verifies, measures.
package main

import (
	"fmt"
	"os"
	"strings"

	"xenon/cmd/xenon/internal/cli"
	"xenon/core/faults"
	"xenon/realio/warden"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == warden.Arg {
		// Before anything else is set up: a warden stays small.
		os.Exit(warden.Main())
	}
	if names := os.Getenv("XENON_FAULTS"); faults.On && names != "" {
		plant(names)
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}

// plant makes the code wrong for this process, so that tests with real servers
// can be shown to notice. Only binaries built with -tags faults can.
func plant(names string) {
	for name := range strings.SplitSeq(names, ",") {
		p, ok := faults.ByName(name)
		if !ok {
			fmt.Fprintf(os.Stderr, "xenon: XENON_FAULTS: no planted fault is called %q\n", name)
			os.Exit(2)
		}
		faults.Plant(p)
	}
}
