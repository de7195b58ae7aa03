package simcmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"

	"xenon/fuzz"
	"xenon/internal/simcmd/trails"
)

// A Comparison says how runs in two processes compared.
type Comparison struct {
	Compared  int    `json:"compared"`
	Different int    `json:"different"`
	First     string `json:"first,omitempty"` // where the first difference is
	at        *place
}

// A place is the first window of 1,024 steps in which two runs differ.
type place struct{ seed, window uint64 }

// A Trail is what a run left.
type Trail = trails.Trail

// NewTrail is that of a run.
func NewTrail(r *fuzz.Result) Trail { return trails.Of(r) }

// Twice compares the first runs' trails with those that the program in exe
// leaves, run as another process with another garbage collector setting, another
// number of threads, no preemption, and another time zone and language. args are
// the arguments that make it write its trails; events those that, with a seed
// and a range of steps, make it write what happens.
func Twice(exe string, args, events []string, first []Trail, stderr io.Writer) (*Comparison, error) {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), otherwise...)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	other := map[uint64]Trail{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var t Trail
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return nil, fmt.Errorf("trail of a second process: %w", err)
		}
		other[t.Seed] = t
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("second process: %w", err)
	}
	c := compare(first, other)
	if c.at == nil {
		return c, nil
	}
	// Both run the window again, and say what happens in it.
	window := fmt.Sprintf("%d..%d", 1024*c.at.window+1, 1024*(c.at.window+1))
	if !slices.Contains(events, "--plan") {
		events = append(slices.Clone(events), "--seed", strconv.FormatUint(c.at.seed, 10))
	}
	where, err := parting(exe, append(slices.Clone(events), "--events", window))
	if err != nil {
		return nil, fmt.Errorf("%s; both run again: %w", c.First, err)
	}
	if where == "" {
		where = "run again, it is the same in both: what differs comes and goes"
	}
	c.First += "\n" + where
	return c, nil
}

// otherwise is how a second process is run.
var otherwise = []string{"GOGC=37", "GOMAXPROCS=3", "GODEBUG=asyncpreemptoff=1",
	"TZ=Asia/Kathmandu", "LC_ALL=tr_TR.UTF-8", "XENON_SIM_SECOND=1"}

// Second tells whether this is a second process.
func Second() bool { return os.Getenv("XENON_SIM_SECOND") != "" }

func compare(first []Trail, other map[uint64]Trail) *Comparison {
	c := &Comparison{}
	for _, t := range first {
		c.Compared++
		o, ok := other[t.Seed]
		where := fmt.Sprintf("seed %d did not run", t.Seed)
		if ok {
			where = trails.Differ(t, o)
		}
		if where != "" {
			c.Different++
			if c.First == "" {
				c.First = where
				if ok {
					c.at = &place{t.Seed, uint64(trails.Parted(t, o))}
				}
			}
		}
	}
	return c
}

// Trails gathers the trails of a run's seeds.
type Trails struct {
	mu  sync.Mutex
	all []Trail
}

// Add takes the trail of a run.
func (t *Trails) Add(r *fuzz.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, trails.Of(r))
}

// All is what was gathered.
func (t *Trails) All() []Trail { return t.all }

// Range is the arguments for the seeds of a run.
func Range(from, to uint64) string {
	return strconv.FormatUint(from, 10) + ".." + strconv.FormatUint(to, 10)
}
