// Command register simulates the store, or serves a node of it.
//
//	register -seeds 1..200 -bug no-write-back -report out.html
//	register -serve 127.0.0.1:7001 -dir /tmp/node1
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"example.org/register"

	"xenon/netsim/picture"
	"xenon/realio"
)

func main() {
	seeds := flag.String("seeds", "1..100", "run these seeds, as A..B, until one fails")
	bug := flag.String("bug", "", "make the store wrong: no-write-back or no-sync")
	report := flag.String("report", "", "show the run that failed in this file")
	serve := flag.String("serve", "", "serve a node at this address instead")
	dir := flag.String("dir", ".", "where a node keeps its log")
	flag.Parse()
	if err := run(*seeds, *bug, *report, *serve, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "register:", err)
		os.Exit(1)
	}
}

func run(seeds, bug, report, serve, dir string) error {
	bugs := register.Bugs{NoWriteBack: bug == "no-write-back", NoSync: bug == "no-sync"}
	if bug != "" && bugs == (register.Bugs{}) {
		return fmt.Errorf("no bug is called %q", bug)
	}
	if serve != "" {
		e := realio.New(realio.Options{Root: dir})
		defer e.Close()
		return register.Serve(e.Context(), e, serve, bugs)
	}
	var from, to uint64
	if _, err := fmt.Sscanf(strings.Replace(seeds, "..", " ", 1), "%d %d", &from, &to); err != nil {
		return fmt.Errorf("seeds %q: want A..B", seeds)
	}
	for seed := from; seed <= to; seed++ {
		r := register.Simulate(seed, bugs, false)
		if r.Err == nil {
			continue
		}
		fmt.Printf("seed %d: %v (%d calls, hash %016x)\n", seed, r.Err, r.Calls, r.Hash)
		if report != "" {
			return show(register.Simulate(seed, bugs, true), report)
		}
		return nil
	}
	fmt.Printf("seeds %d to %d: linearizable\n", from, to)
	return nil
}

// show writes the page of a recorded run.
func show(r *register.Run, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return picture.Write(f, r.Picture(), nil)
}
