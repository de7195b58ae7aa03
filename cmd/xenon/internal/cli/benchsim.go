package cli

import (
	"time"

	"xenon/cmd/xenon/internal/bench"
)

type benchSim struct {
	Seed   uint64        `default:"1" help:"Seed of the first round; each has the next one."`
	Length time.Duration `default:"10m" help:"Simulated length of a round."`
	Rounds int           `default:"3" help:"Rounds; the slowest one is the result."`
}

func (c benchSim) Run(g *Globals) error {
	report, err := bench.Sim(bench.SimOptions{Seed: c.Seed, Length: c.Length, Rounds: c.Rounds, Say: g.Say})
	if err != nil {
		return err
	}
	return g.Result(report, report.Words())
}
