package cli

import (
	"fmt"
	"slices"
	"time"
)

// tellAfter is how long a command waits for the installation without a word.
const tellAfter = 3 * time.Second

// patiently runs f, and while it waits tells what the status says that
// somebody has to act on, each note once.
func (g *Globals) patiently(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	var said []string
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(tellAfter):
		}
		s, err := askStatus(g)
		if err != nil {
			continue // f finds out
		}
		for _, note := range s.Notes {
			if !slices.Contains(said, note) {
				fmt.Fprintf(g.Stderr, "waiting; %s\n", note)
				said = append(said, note)
			}
		}
	}
}
