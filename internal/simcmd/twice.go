package simcmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
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
}

// A Trail is what a run left.
type Trail = trails.Trail

// NewTrail is that of a run.
func NewTrail(r *fuzz.Result) Trail { return trails.Of(r) }

// Twice compares the first runs' trails with those that the program in exe
// leaves, run as another process with another garbage collector setting, another
// number of threads, no preemption, and another time zone and language. args are
// the arguments that make it write its trails.
func Twice(exe string, args []string, first []Trail, stderr io.Writer) (*Comparison, error) {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "GOGC=37", "GOMAXPROCS=3", "GODEBUG=asyncpreemptoff=1",
		"TZ=Asia/Kathmandu", "LC_ALL=tr_TR.UTF-8", "XENON_SIM_SECOND=1")
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
	return compare(first, other), nil
}

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
