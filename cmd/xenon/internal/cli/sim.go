package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"xenon/fuzz"
	"xenon/internal/simcmd"
	"xenon/netsim"
)

type simCommand struct {
	Seed        uint64  `placeholder:"N" help:"Run this seed."`
	Seeds       string  `placeholder:"A..B" help:"Run these seeds, both included (default: 1..100; with --minutes fresh ones)."`
	Plan        string  `placeholder:"FILE" help:"Run the plan in FILE, as a failure prints it."`
	Minimise    bool    `help:"Make the plan of a failure smaller, for a minute at most."`
	Minutes     float64 `placeholder:"M" help:"Explore for so many minutes, with a process for each processor; with --seeds, begin no seed after that."`
	Corpus      string  `placeholder:"DIR" help:"With --minutes: first run the plans in DIR, and keep there the plans that fail (default: xenon-corpus)."`
	Until       string  `placeholder:"STEP|TIME|EVENT" help:"End the run at a step (1200), a time after the clients began (1.5s), or an event (proposer.elected), and show what every node is at."`
	Break       string  `placeholder:"EXPR" help:"End the run once this holds, as in 'commit_lsn(sk1) > 0/3000 && !running(ps1)'; help lists what there is to ask for."`
	Fork        uint64  `placeholder:"STEP" help:"From this step on, draw everything from another seed."`
	SeedFrom    uint64  `placeholder:"N" help:"The other seed, for --fork."`
	Faults      string  `placeholder:"list|LIST" help:"Classes of faults to draw from, separated by commas; list shows them, none is a calm world."`
	Mutant      string  `placeholder:"M" help:"Plant a fault of core/faults in the code, as in M30: the run is to find it (needs a binary built with -tags faults)."`
	Judge       string  `placeholder:"clients" help:"Let nothing count but what clients saw: no observer inside ends the run, in the end their calls must be linearizable."`
	Report      string  `placeholder:"FILE.html" help:"Show the run, or the first failure, as one page: story, lanes, messages, faults, LSNs."`
	Save        string  `placeholder:"FILE" help:"Keep the plan of the first failure in FILE, for --plan."`
	Perfetto    string  `placeholder:"FILE.json" help:"Write the run, or the first failure, as a trace for ui.perfetto.dev."`
	Determinism bool    `name:"check-determinism" help:"Run every seed again in a second process and compare the hashes of all events."`
	Trails      bool    `hidden:"" help:"Print the hash of each run, one JSON object a line."`
	Events      string  `hidden:"" placeholder:"A..B" help:"Print what happens in these steps of a run, an event a line."`
	Worker      string  `hidden:"" placeholder:"I/N" help:"Explore as one of N processes, and print the summary as JSON."`
	FirstSeed   uint64  `hidden:"" help:"Where the seeds of a worker begin."`
}

func (c simCommand) Run(g *Globals) error {
	switch {
	case c.Faults == "list":
		return listFaults(g)
	case c.Break == "help":
		g.Say("%s", fuzz.Observables())
		return nil
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	if c.Events != "" {
		from, to, err := parseSeeds(c.Events)
		if err != nil {
			return err
		}
		return simcmd.Events(o, from, to-from+1, g.Stdout)
	}
	var trails simcmd.Trails
	var shown *fuzz.Result // the first that failed, else the first
	o.Done = func(r *fuzz.Result) {
		if shown == nil || shown.Err == nil && r.Err != nil {
			shown = r
		}
		switch {
		case c.Trails:
			simcmd.NewTrail(r).Write(g.Stdout)
			return
		case c.Determinism:
			trails.Add(r)
		}
		switch {
		case r.Err != nil && c.Worker != "":
			line, _, _ := strings.Cut(r.Err.Error(), "\n")
			g.Say("FAILED by %s: %s", r.Oracle(), line)
		case r.Err != nil && !c.single():
			g.Say("%s", simcmd.Story(o, r))
		}
		if o.Until != (fuzz.Until{}) {
			g.Say("%s", simcmd.Where(r))
		}
	}
	s, err := c.carryOut(o, g)
	if no := (simcmd.ErrNoMutants{}); errors.As(err, &no) {
		return Usage("%v", no)
	}
	if err != nil || c.Trails {
		return err
	}
	if shown == nil && len(s.Failed) > 0 && s.Failed[0].Plan != "" { // of another process
		p, err := readPlan(s.Failed[0].Plan)
		if err != nil {
			return err
		}
		shown = &fuzz.Result{Seed: p.Seed, Plan: p, Err: errors.New(s.Failed[0].Error)}
	}
	if err := c.show(o, shown, g); err != nil {
		return err
	}
	if c.Determinism {
		if s.Hashes, err = c.again(o, &trails, g); err != nil {
			return err
		}
	}
	text := s.Text()
	if c.single() {
		text = s.Brief()
	}
	if err := g.Result(s, text); err != nil {
		return err
	}
	if err := s.Err(); err != nil && c.Worker == "" {
		fmt.Fprintln(g.Stderr, "xenon:", err)
		return ExitError{1}
	}
	return nil
}

// carryOut runs what was asked for: here, or in a process for each processor.
func (c simCommand) carryOut(o simcmd.Options, g *Globals) (*simcmd.Summary, error) {
	if !o.Explore || c.Worker != "" {
		return simcmd.Run(o)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"sim", "--json", "--minutes", fmt.Sprint(c.Minutes), "--corpus", o.Corpus}
	for flag, value := range map[string]string{"--faults": c.Faults, "--mutant": c.Mutant, "--judge": c.Judge} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if c.Minimise {
		args = append(args, "--minimise")
	}
	return simcmd.Fleet(o, exe, args, runtime.NumCPU(), g.Stderr)
}

// single tells whether one run was asked for.
func (c simCommand) single() bool { return c.Plan != "" || c.Seed != 0 }

// show runs what was asked for, or what failed, once more to show it: as a
// story if it was one run, and in the files that were asked for.
func (c simCommand) show(o simcmd.Options, r *fuzz.Result, g *Globals) error {
	to := simcmd.Files{Report: c.Report, Perfetto: c.Perfetto, Plan: c.Save}
	failed := r != nil && r.Err != nil
	if r == nil || to == (simcmd.Files{}) && !(failed && c.single()) {
		return nil
	}
	story, err := simcmd.Show(o, r.Plan, to)
	if err != nil {
		return err
	}
	if c.single() {
		if failed {
			g.Say("%s", simcmd.Failure(o, r, to))
		}
		g.Say("%s", story)
	}
	for _, name := range []string{to.Plan, to.Report, to.Perfetto} {
		if name != "" {
			g.Say("wrote %s", name)
		}
	}
	return nil
}

// again compares the trails of all seeds with those of a second process.
func (c simCommand) again(o simcmd.Options, trails *simcmd.Trails, g *Globals) (*simcmd.Comparison, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := trails.All()
	to := o.From
	for _, t := range all {
		to = max(to, t.Seed)
	}
	args := []string{"sim", "--trails", "--seeds", simcmd.Range(o.From, to)}
	if c.Plan != "" {
		args = []string{"sim", "--trails", "--plan", c.Plan}
	}
	events := []string{"sim"}
	if c.Plan != "" {
		events = []string{"sim", "--plan", c.Plan}
	}
	for flag, value := range map[string]string{"--faults": c.Faults, "--mutant": c.Mutant, "--judge": c.Judge} {
		if value != "" {
			args, events = append(args, flag, value), append(events, flag, value)
		}
	}
	return simcmd.Twice(exe, args, events, all, g.Stderr)
}

func (c simCommand) options() (o simcmd.Options, err error) {
	o = simcmd.Options{Mutant: c.Mutant, Within: time.Duration(c.Minutes * float64(time.Minute)), Fork: netsim.Fork{Step: c.Fork, Seed: c.SeedFrom}}
	if c.Minimise {
		o.Minimise = time.Minute
	}
	if o.Until, err = c.until(); err != nil {
		return o, err
	}
	switch {
	case (c.Fork > 0) != (c.SeedFrom > 0):
		return o, Usage("--fork STEP and --seed-from N belong together")
	case (c.Fork > 0 || o.Until != (fuzz.Until{})) && !c.single():
		return o, Usage("--until, --break and --fork want one run: --seed N or --plan FILE")
	case c.Corpus != "" && (c.Minutes == 0 || c.Seeds != ""):
		return o, Usage("--corpus belongs to --minutes without --seeds")
	case c.Seed != 0 && c.Seeds != "", c.Plan != "" && (c.Seed != 0 || c.Seeds != "" || c.Minutes > 0):
		return o, Usage("--seed, --seeds and --plan exclude each other")
	case c.Minimise && c.Determinism:
		return o, Usage("--minimise and --check-determinism exclude each other")
	case c.Plan != "":
		if o.Plan, err = readPlan(c.Plan); err != nil {
			return o, err
		}
		o.File = c.Plan
	case c.Seed != 0:
		o.From, o.To = c.Seed, c.Seed
	case c.Seeds != "":
		if o.From, o.To, err = parseSeeds(c.Seeds); err != nil {
			return o, err
		}
	case c.Minutes > 0:
		o.Explore, o.From, o.Corpus = true, cmp.Or(c.FirstSeed, simcmd.FreshSeed()), cmp.Or(c.Corpus, "xenon-corpus")
		if _, err := fmt.Sscanf(c.Worker, "%d/%d", &o.Share.Mine, &o.Share.Of); c.Worker != "" && err != nil {
			return o, Usage("--worker %s: want I/N", c.Worker)
		}
		if c.Determinism {
			return o, Usage("--check-determinism wants --seeds A..B")
		}
	default:
		o.From, o.To = 1, 100
	}
	if o.Judge, err = fuzz.ParseJudge(c.Judge); err != nil {
		return o, Usage("--judge: %v", err)
	}
	switch c.Faults {
	case "":
	case "none":
		o.Classes = []fuzz.Class{}
	default:
		if o.Classes, err = fuzz.ParseClasses(c.Faults); err != nil {
			return o, Usage("%v", err)
		}
	}
	return o, nil
}

// until is where the run is to end early.
func (c simCommand) until() (u fuzz.Until, err error) {
	if c.Break != "" {
		if u.When, err = fuzz.ParseExpr(c.Break); err != nil {
			return u, Usage("--break: %v", err)
		}
	}
	if c.Until == "" {
		return u, nil
	}
	if step, err := strconv.ParseUint(c.Until, 10, 64); err == nil && step > 0 {
		u.Step = step
	} else if at, err := time.ParseDuration(c.Until); err == nil && at > 0 {
		u.At = at
	} else {
		u.Event = c.Until
	}
	return u, nil
}

func readPlan(name string) (*fuzz.Plan, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := fuzz.ReadPlan(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// parseSeeds reads A..B.
func parseSeeds(s string) (from, to uint64, err error) {
	a, b, ok := strings.Cut(s, "..")
	if !ok {
		return 0, 0, Usage("--seeds %s: want A..B as in 1..100", s)
	}
	from, err1 := strconv.ParseUint(a, 10, 64)
	to, err2 := strconv.ParseUint(b, 10, 64)
	if err1 != nil || err2 != nil || from == 0 || to < from {
		return 0, 0, Usage("--seeds %s: want two numbers, the first one 1 or more and not above the second", s)
	}
	return from, to, nil
}

func listFaults(g *Globals) error {
	type class struct {
		Name string `json:"name"`
		Area string `json:"area"`
		Text string `json:"text"`
		Rule string `json:"admissible"`
	}
	type missing struct {
		Name string `json:"name"`
		Why  string `json:"why"`
	}
	var all []class
	var not []missing
	var b strings.Builder
	for _, c := range fuzz.Classes() {
		all = append(all, class{c.String(), string(c.Area()), c.About(), c.Rule()})
		fmt.Fprintf(&b, "%-20s %-13s %s\n%34s admissible: %s\n", c, c.Area(), c.About(), "", c.Rule())
	}
	fmt.Fprintf(&b, "%d classes; how often each struck, and to what effect, is told after every run. Not yet:\n", len(all))
	for _, n := range fuzz.NotYet {
		not = append(not, missing{n.Name, n.Why})
		fmt.Fprintf(&b, "%-20s %s\n", n.Name, n.Why)
	}
	return g.Result(struct {
		Faults []class   `json:"faults"`
		NotYet []missing `json:"not_yet"`
	}{all, not}, b.String())
}
