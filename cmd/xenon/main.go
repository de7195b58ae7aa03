// Command xenon is the whole system in one binary: it starts an installation,
// talks to a running one, runs single roles, simulates, verifies, measures.
package main

import (
	"os"

	"xenon/cmd/xenon/internal/cli"
	"xenon/realio/warden"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == warden.Arg {
		// Before anything else is set up: a warden stays small.
		os.Exit(warden.Main())
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
