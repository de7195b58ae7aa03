//go:build faults

package consensus_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"xenon/core/faults"
)

// Every law fails on a planted fault: each mutant is one wrong line, caught by
// a scenario, a law of pure functions, or a random world.
func TestMutantsAreCaught(t *testing.T) {
	tests := []struct {
		name string
		by   func() error
	}{
		{"M01", worlds}, {"M02", worlds}, {"M03", worlds}, {"M03", seeded(quorumLaws)}, {"M04", worlds},
		{"M05", stories}, {"M06", worlds}, {"M08", stories}, {"M09", worlds}, {"M09", seeded(historyLaws)},
		{"M13", worlds}, {"M14", worlds}, {"M14", seeded(historyLaws)}, {"M16", stories}, {"M17", stories},
		{"M18", worlds}, {"M18", stories}, {"M19", stories}, {"M25", worlds}, {"M25", seeded(historyLaws)},
		{"M27", worlds}, {"M27b", worlds}, {"M27b", stories}, {"M28", stories}, {"M29", worlds},
		{"M29", seeded(quorumLaws)}, {"M30", worlds}, {"M33", stories}, {"M34", stories},
		{"M11", changes}, {"M42", changes}, {"M42b", changes}, {"M43", changes}, {"M44", changes},
		{"M45b", changes}, {"M46", changes}, {"M47", changes}, {"M49", changes},
		{"M26", stories}, {"M32", stories}, {"M60", stories}, {"M39", stories}, {"M15", termsBeginOnce},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			point, ok := faults.ByName(test.name)
			if !ok {
				t.Fatalf("no fault point %s", test.name)
			}
			defer faults.Plant(point)()
			err := guarded(test.by)
			if err == nil {
				t.Fatal("survives")
			}
			line, _, _ := strings.Cut(err.Error(), "\n")
			t.Log(line)
		})
	}
}

// worlds runs random worlds until one breaks a law.
func worlds() error {
	for seed := range uint64(400) {
		nodes := 3
		if seed%4 == 3 {
			nodes = 5
		}
		if _, err := runWorld(nodes, 2, 500, rand.New(rand.NewPCG(seed, 2)).IntN); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

// changes runs worlds whose members change until one breaks a law.
func changes() error {
	for seed := range uint64(3000) {
		if _, err := runReshaped(1+int(seed%4), 1+int(seed%3), 2, 600, rand.New(rand.NewPCG(seed, 5)).IntN); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

func stories() error {
	var errs error
	for _, s := range scenarios {
		if err := guarded(s.run); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errs
}

func seeded(law func(func(int) int) error) func() error {
	return func() error {
		for seed := range uint64(2000) {
			if err := law(rand.New(rand.NewPCG(seed, 3)).IntN); err != nil {
				return fmt.Errorf("seed %d: %w", seed, err)
			}
		}
		return nil
	}
}
