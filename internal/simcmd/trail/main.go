// Command trail runs seeds and prints what each left: a line of JSON with its
// hash, its number of steps and the hash after every 1,024 of them. It is small
// and needs no more of a platform than the simulator does, so that runs of one
// seed can be compared wherever Go runs, a browser included.
package main

import (
	"fmt"
	"os"
	"strconv"

	"xenon/fuzz"
	"xenon/internal/simcmd/trails"
)

func main() {
	for _, arg := range os.Args[1:] {
		seed, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, "usage: trail SEED ...")
			os.Exit(2)
		}
		r := fuzz.Run(fuzz.Options{Seed: seed})
		if r.Err != nil {
			fmt.Fprintf(os.Stderr, "seed %d: %v\n", seed, r.Err)
		}
		if err := trails.Of(r).Write(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
