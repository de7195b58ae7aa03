package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"xenon/fuzz"
	"xenon/internal/simcmd"
)

// SimOptions say what of the simulator is measured.
type SimOptions struct {
	Seed   uint64        // of the first round; each has the next one
	Length time.Duration // simulated, of a round
	Rounds int
	Say    func(format string, args ...any)
}

// A SimReport is how fast the reference workload is simulated. The peer is the
// real system, for which a second takes a second.
type SimReport struct {
	Metric string   `json:"metric"`
	Value  float64  `json:"value"` // simulated seconds per second of processor time, the worst round
	Unit   string   `json:"unit"`
	Peer   float64  `json:"peer_value"`
	Ratio  float64  `json:"ratio"`
	Rows   []SimRow `json:"rows"`
}

// A SimRow is one round.
type SimRow struct {
	Seed       uint64  `json:"seed"`
	SimSeconds float64 `json:"sim_seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Speed      float64 `json:"sim_seconds_per_cpu_second"`
	Steps      uint64  `json:"steps"`
	Commits    int     `json:"commits"`
	Pages      int     `json:"pages"` // read and compared
	Faults     int     `json:"faults"`
	// Shares of the processor time, by what it was for.
	Shares map[string]float64 `json:"shares"`
}

// Sim runs the reference workload with every oracle at work and the sweep at its
// end.
func Sim(o SimOptions) (*SimReport, error) {
	defer simcmd.CollectSeldom()()
	out := &SimReport{Metric: "simulation of the reference workload", Unit: "simulated s per CPU-s", Peer: 1}
	if r := fuzz.Run(fuzz.Options{Seed: o.Seed, Classes: []fuzz.Class{}}); r.Err != nil {
		return nil, fmt.Errorf("seed %d: %w", o.Seed, r.Err)
	}
	for i := range o.Rounds {
		row, err := simRound(o.Seed+uint64(i), o.Length)
		if err != nil {
			return nil, err
		}
		o.Say("seed %d: %.0f simulated seconds in %.2f s of processor time, %.0f × real time", row.Seed, row.SimSeconds, row.CPUSeconds, row.Speed)
		out.Rows = append(out.Rows, row)
	}
	out.Value = slices.MinFunc(out.Rows, func(a, b SimRow) int { return cmp.Compare(a.Speed, b.Speed) }).Speed
	out.Ratio = out.Value
	return out, nil
}

func simRound(seed uint64, length time.Duration) (SimRow, error) {
	var r *fuzz.Result
	var took time.Duration
	stacks, err := profiled(func() error {
		before := simcmd.CPUTime()
		r = fuzz.Run(fuzz.Options{Plan: fuzz.Reference(seed, length)})
		took = simcmd.CPUTime() - before
		return r.Err
	})
	if err != nil {
		return SimRow{}, fmt.Errorf("seed %d: %w", seed, err)
	}
	row := SimRow{
		Seed: seed, SimSeconds: r.Elapsed.Seconds(), CPUSeconds: took.Seconds(), Speed: r.Elapsed.Seconds() / took.Seconds(),
		Steps: r.Steps, Commits: r.Counts.Writes, Pages: r.Counts.PagesCompared, Shares: shares(stacks),
	}
	for _, n := range r.Counts.Injected {
		row.Faults += n
	}
	return row, nil
}

// purposes say what code is for, by what its names begin with. The first that
// fits anywhere in a stack counts: an oracle that replays a record is an oracle.
var purposes = []struct {
	name  string
	any   bool // else the innermost function of ours decides
	funcs []string
}{
	{"checkers", true, []string{"xenon/linearizability.", "xenon/core/pageserver/reference.", "xenon/fuzz.(*judge)", "xenon/fuzz.(*line)", "xenon/fuzz.(*ghost)",
		"xenon/fuzz.(*keeper)", "xenon/fuzz.(*store)", "xenon/fuzz.(*questioner)", "xenon/fuzz.reader", "xenon/fuzz.(*vault)"}},
	{"redo", false, []string{"xenon/core/redo"}},
	{"protocol", false, []string{"xenon/consensus", "xenon/compute/proposer", "xenon/core/wire", "xenon/core/xsync", "xenon/core/register"}},
	{"ingest and pages", false, []string{"xenon/core/pageserver", "xenon/core/layer", "xenon/core/wal", "xenon/core/objstore"}},
	{"compute", false, []string{"xenon/compute", "xenon/fuzz/standin"}},
	{"simulator", false, []string{"xenon/netsim", "xenon/diskdrv", "xenon/fuzz"}},
}

// shares adds up what the processor did.
func shares(stacks []stack) map[string]float64 {
	var all int64
	by := map[string]int64{}
	for _, s := range stacks {
		by[purpose(s.functions)] += s.nanos
		all += s.nanos
	}
	out := map[string]float64{}
	for name, n := range by {
		out[name] = float64(n) / float64(max(1, all))
	}
	return out
}

func purpose(functions []string) string {
	is := func(f string, list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(f, p) })
	}
	if slices.ContainsFunc(functions, func(f string) bool { return is(f, purposes[0].funcs) }) {
		return purposes[0].name
	}
	for i, f := range functions {
		if f == "runtime.memmove" || f == "runtime.memclrNoHeapPointers" {
			return "copying"
		}
		if i == 0 && !strings.HasPrefix(f, "runtime.") && !strings.HasPrefix(f, "xenon/") {
			continue // a library's: whoever called it
		}
		for _, p := range purposes[1:] {
			if is(f, p.funcs) {
				return inner(functions[:i], p.name)
			}
		}
	}
	return "memory and switches"
}

// inner tells memory that was asked for from work.
func inner(functions []string, name string) string {
	if slices.ContainsFunc(functions, func(f string) bool {
		return strings.HasPrefix(f, "runtime.mallocgc") || strings.HasPrefix(f, "runtime.gc") || strings.HasPrefix(f, "runtime.coroswitch")
	}) {
		return "memory and switches"
	}
	return name
}

// Words are the report for people.
func (r *SimReport) Words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.0f simulated seconds per second of processor time\n", r.Value)
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "seed %d: %d commits, %d pages, %d faults, %d steps\n", row.Seed, row.Commits, row.Pages, row.Faults, row.Steps)
		names := make([]string, 0, len(row.Shares))
		for name := range row.Shares {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(row.Shares[b], row.Shares[a]) })
		for _, name := range names {
			fmt.Fprintf(&b, "  %5.1f %% %s\n", 100*row.Shares[name], name)
		}
	}
	return b.String()
}
