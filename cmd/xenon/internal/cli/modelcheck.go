package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"xenon/fuzz/modelcheck"
)

type modelcheckCommand struct {
	Model       string `enum:"static,reconfig" default:"static" help:"static: one set of acceptors; reconfig: it changes."`
	Proposers   int    `default:"2" placeholder:"N" help:"How many proposers."`
	Acceptors   int    `default:"3" placeholder:"N" help:"How many acceptors."`
	Terms       int    `default:"2" placeholder:"N" help:"Highest term that is followed."`
	Entries     int    `default:"2" placeholder:"N" help:"Longest log of a proposer that is followed."`
	Generations int    `default:"3" placeholder:"N" help:"Highest generation of a configuration that is followed, in reconfig."`
	Real        bool   `help:"Drive the production code of acceptors and proposers through the static model, with one processor."`
	Break       string `placeholder:"RULE" help:"Break a rule of the protocol, to see that it is noticed; list prints the rules."`
	Claim       string `placeholder:"NAME" help:"Check a claim besides, as in MaxTerm: one that is wrong on purpose shows what the model reaches."`
	Workers     int    `placeholder:"N" help:"Goroutines (default: one for each processor)."`
	Memory      int64  `default:"4096" placeholder:"MIB" help:"Most memory for states, in MiB."`
}

func (modelcheckCommand) Help() string {
	return `Every state of a small model of the consensus protocol is visited, breadth first,
and every invariant is checked in it. States that differ only in the names of
proposers and acceptors are one. A violation is printed as a table of the
shortest way there, and the exit status is 1.

With --real the actions are carried out by the code that safekeepers and
computes run, and it must reach the very states that the model does: the number
of distinct states and the depth are the same.`
}

// A modelcheckResult is what modelcheck prints.
type modelcheckResult struct {
	Model     string              `json:"model"`
	Distinct  int64               `json:"distinct"`
	Depth     int                 `json:"depth"`
	Generated int64               `json:"generated"`
	Seconds   float64             `json:"seconds"`
	Rate      float64             `json:"generated_per_second"`
	Violation *modelcheckViolated `json:"violation"`
}

type modelcheckViolated struct {
	Invariant string   `json:"invariant"`
	Words     string   `json:"words"`
	Steps     []string `json:"steps"`
	Table     string   `json:"table"`
}

func (c modelcheckCommand) Run(g *Globals) error {
	if c.Break == "list" {
		for _, r := range modelcheck.Rules() {
			fmt.Fprintln(g.Stdout, r)
		}
		return nil
	}
	m, err := c.model()
	if err != nil {
		return Usage("%v", err)
	}
	o := modelcheck.Options{Workers: c.Workers, Memory: c.Memory << 20}
	if c.Claim != "" {
		o.Also = []string{c.Claim}
	}
	began, told := time.Now(), time.Now()
	o.Level = func(depth int, known, next int64) {
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			g.Say("level %d: %d states, %d to follow, %.0f s", depth, known, next, time.Since(began).Seconds())
		}
	}
	search := modelcheck.Run
	if c.Real {
		search = modelcheck.RunReal
	}
	r, err := search(m, o)
	if err != nil {
		return err
	}
	out := newModelcheckResult(m, r, time.Since(began))
	if err := g.Result(out, out.text()); err != nil {
		return err
	}
	if r.Violation != nil {
		return ExitError{1}
	}
	return nil
}

func (c modelcheckCommand) model() (m *modelcheck.Model, err error) {
	b := modelcheck.Bounds{Proposers: c.Proposers, Acceptors: c.Acceptors, Terms: c.Terms, Entries: c.Entries}
	if c.Model == "reconfig" {
		b.Generations = c.Generations
		m, err = modelcheck.Reconfig(b)
	} else {
		m, err = modelcheck.Static(b)
	}
	if err != nil || c.Break == "" {
		return m, err
	}
	if c.Real {
		return nil, errors.New("--break is for the model; wrong production code is built with -tags faults")
	}
	rule, ok := modelcheck.RuleByName(c.Break)
	if !ok {
		return nil, fmt.Errorf("no rule is called %q: --break list prints them", c.Break)
	}
	m.Break = rule
	return m, nil
}

func newModelcheckResult(m *modelcheck.Model, r *modelcheck.Result, took time.Duration) *modelcheckResult {
	out := &modelcheckResult{
		Model: m.String(), Distinct: r.Distinct, Depth: r.Depth, Generated: r.Generated,
		Seconds: took.Seconds(), Rate: float64(r.Generated) / took.Seconds(),
	}
	if v := r.Violation; v != nil {
		var table strings.Builder
		_ = v.Trace.Write(&table) // a strings.Builder takes everything
		out.Violation = &modelcheckViolated{Invariant: v.Invariant.Name, Words: v.Invariant.Words, Table: table.String()}
		for _, a := range v.Trace.Actions() {
			out.Violation.Steps = append(out.Violation.Steps, a.String())
		}
	}
	return out
}

func (r *modelcheckResult) text() string {
	s := fmt.Sprintf("%s\n%d distinct states, depth %d, %d generated in %.1f s (%.0f a second)\n",
		r.Model, r.Distinct, r.Depth, r.Generated, r.Seconds, r.Rate)
	if v := r.Violation; v != nil {
		return s + fmt.Sprintf("%s is violated after %d steps: %s\n\n%s", v.Invariant, len(v.Steps), v.Words, v.Table)
	}
	return s + "every invariant holds in every state\n"
}
