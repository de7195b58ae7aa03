package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"xenon/fuzz/modelcheck"
)

type modelcheckCommand struct {
	Model       string `enum:"static,reconfig,production" default:"static" help:"static: one set of acceptors; reconfig: it changes; production: it changes as production code changes it."`
	Proposers   int    `default:"2" placeholder:"N" help:"How many proposers."`
	Acceptors   int    `default:"3" placeholder:"N" help:"How many acceptors."`
	Terms       int    `default:"2" placeholder:"N" help:"Highest term that is followed."`
	Entries     int    `default:"2" placeholder:"N" help:"Longest log of a proposer that is followed."`
	Generations int    `default:"3" placeholder:"N" help:"Highest generation of a configuration that is followed, where the set changes."`
	Real        bool   `help:"Drive the production code of acceptors, proposers and changes of members through the model, with one processor."`
	Messages    bool   `help:"Drive the production code message by message, with what may go wrong below; one processor."`
	Delays      int    `placeholder:"N" help:"With --messages: connections that stand still and flushes that wait."`
	Losses      int    `placeholder:"N" help:"With --messages: connections that are lost."`
	Crashes     int    `placeholder:"N" help:"With --messages: crashes of acceptors."`
	Wounds      int    `placeholder:"N" help:"With --messages: acceptors that lose the end of their log."`
	Requests    int    `default:"2" placeholder:"N" help:"With --messages: requests on one connection at most."`
	Break       string `placeholder:"RULE" help:"Break a rule of the protocol, to see that it is noticed; list prints the rules."`
	After       string `placeholder:"ACTIONS" help:"Begin with these actions, apart by semicolons, as a table of a violation names them."`
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
of distinct states and the depth are the same. For reconfig that is the model
production, which is narrower: it leaves out what the code never does.

With --messages the same code is followed message by message. What a state has
on its way arrives at once, unless one of --delays holds it up; acceptors crash
between any two durable writes. Invariants are checked in every state; the
states are more than the model's and are not compared with it.`
}

// A modelcheckResult is what modelcheck prints.
type modelcheckResult struct {
	Model     string              `json:"model"`
	Mode      string              `json:"mode"` // model, real or messages
	Budget    string              `json:"budget,omitempty"`
	Distinct  int64               `json:"distinct"`
	States    int64               `json:"distinct_states"` // the same, by the name that checks of others know
	Depth     int                 `json:"depth"`
	Generated int64               `json:"generated"`
	Seconds   float64             `json:"seconds"`
	Rate      float64             `json:"generated_per_second"`
	PerSecond float64             `json:"states_per_second"` // distinct ones
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
	for _, a := range strings.Split(c.After, ";") {
		if a = strings.TrimSpace(a); a != "" {
			o.After = append(o.After, a)
		}
	}
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
	// Production code makes garbage at every step, and a collection looks at every
	// state that is known: fewer of them halve the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	r, err := c.search(m, o)
	if errors.Is(err, modelcheck.ErrNoAction) {
		return Usage("%v", err)
	}
	if err != nil {
		return err
	}
	out := newModelcheckResult(m, r, time.Since(began))
	if out.Mode = c.mode(); c.Messages {
		out.Budget = c.budget().String()
	}
	if err := g.Result(out, out.text()); err != nil {
		return err
	}
	if r.Violation != nil {
		return ExitError{1}
	}
	return nil
}

// mode is the name of what is searched.
func (c modelcheckCommand) mode() string {
	switch {
	case c.Messages:
		return "messages"
	case c.Real:
		return "real"
	}
	return "model"
}

func (c modelcheckCommand) budget() modelcheck.Budget {
	return modelcheck.Budget{Delays: c.Delays, Losses: c.Losses, Crashes: c.Crashes, Wounds: c.Wounds, Requests: c.Requests}
}

func (c modelcheckCommand) search(m *modelcheck.Model, o modelcheck.Options) (*modelcheck.Result, error) {
	switch c.mode() {
	case "messages":
		return modelcheck.RunWire(m, c.budget(), o)
	case "real":
		return modelcheck.RunReal(m, o)
	}
	return modelcheck.Run(m, o)
}

func (c modelcheckCommand) model() (m *modelcheck.Model, err error) {
	b := modelcheck.Bounds{Proposers: c.Proposers, Acceptors: c.Acceptors, Terms: c.Terms, Entries: c.Entries}
	if c.Model != "static" {
		b.Generations = c.Generations
	}
	switch c.Model {
	case "reconfig":
		m, err = modelcheck.Reconfig(b)
	case "production":
		m, err = modelcheck.Production(b)
	default:
		m, err = modelcheck.Static(b)
	}
	switch {
	case err != nil:
		return nil, err
	case c.After != "" && c.mode() != "model":
		return nil, errors.New("--after is for the model, without --real and --messages")
	case c.Real && c.Messages:
		return nil, errors.New("--real or --messages, not both")
	case !c.Messages && c.Delays+c.Losses+c.Crashes+c.Wounds > 0:
		return nil, errors.New("--delays, --losses, --crashes and --wounds are for --messages")
	case c.Messages && c.Model != "static":
		return nil, errors.New("--messages is for --model static")
	case min(c.Delays, c.Losses, c.Crashes, c.Wounds, c.Requests-1) < 0 || max(c.Delays, c.Losses, c.Crashes, c.Wounds, c.Requests) > 100:
		return nil, errors.New("budgets of --messages are 0 to 100, --requests 1 to 100")
	case c.Break == "":
		return m, nil
	}
	return m, c.breakRule(m)
}

func (c modelcheckCommand) breakRule(m *modelcheck.Model) error {
	rule, ok := modelcheck.RuleByName(c.Break)
	switch {
	case !ok:
		return fmt.Errorf("no rule is called %q: --break list prints them", c.Break)
	case rule.OfMessages() && !c.Messages:
		return fmt.Errorf("%s is a rule of --messages", rule)
	case !rule.OfMessages() && c.mode() != "model":
		return errors.New("this rule is one of the model; wrong production code is built with -tags faults")
	}
	m.Break = rule
	return nil
}

func newModelcheckResult(m *modelcheck.Model, r *modelcheck.Result, took time.Duration) *modelcheckResult {
	out := &modelcheckResult{
		Model: m.String(), Distinct: r.Distinct, States: r.Distinct, Depth: r.Depth, Generated: r.Generated, Seconds: took.Seconds(),
		Rate: float64(r.Generated) / took.Seconds(), PerSecond: float64(r.Distinct) / took.Seconds(),
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
	model := r.Model
	if r.Mode != "model" {
		model += ", production code, " + r.Mode
	}
	if r.Budget != "" {
		model += ": " + r.Budget
	}
	s := fmt.Sprintf("%s\n%d distinct states, depth %d, %d generated in %.1f s (%.0f a second)\n",
		model, r.Distinct, r.Depth, r.Generated, r.Seconds, r.Rate)
	if v := r.Violation; v != nil {
		return s + fmt.Sprintf("%s is violated after %d steps: %s\n\n%s", v.Invariant, len(v.Steps), v.Words, v.Table)
	}
	return s + "every invariant holds in every state\n"
}
