// Command simsafe reports what in the named packages would make a simulated
// run depend on more than its seed:
//
//	go run ./internal/lint/cmd/simsafe ./...
//
// It exits with 1 if there is anything, with 2 if it cannot tell.
//
// It stands alone on purpose: as a -vettool of go vet it would pass packages
// that have findings, because vet caches an empty success for a package that
// it saw first as a dependency.
package main

import (
	"fmt"
	"os"

	"xenon/internal/lint/driver"
	"xenon/internal/lint/simsafe"
)

func main() {
	patterns := os.Args[1:]
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	found, err := run(patterns)
	if err != nil {
		fmt.Fprintln(os.Stderr, "simsafe:", err)
		os.Exit(2)
	}
	for _, f := range found {
		fmt.Println(f)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

func run(patterns []string) ([]driver.Finding, error) {
	pkgs, err := driver.Load(".", patterns...)
	if err != nil {
		return nil, err
	}
	var all []driver.Finding
	for _, p := range pkgs {
		found, err := p.Run(simsafe.Analyzer)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}
