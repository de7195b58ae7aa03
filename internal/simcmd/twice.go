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
)

// A Comparison says how runs in two processes compared.
type Comparison struct {
	Compared  int    `json:"compared"`
	Different int    `json:"different"`
	First     string `json:"first,omitempty"` // where the first difference is
}

// A Trail is what a run left: equal seeds leave equal trails.
type Trail struct {
	Seed    uint64   `json:"seed"`
	Hash    uint64   `json:"hash"`
	Steps   uint64   `json:"steps"`
	Windows []uint64 `json:"windows"` // the hash after each 1,024 steps
}

// NewTrail is that of a run.
func NewTrail(r *fuzz.Result) Trail { return Trail{r.Seed, r.Hash, r.Steps, r.Windows} }

// Write writes the trail as a line.
func (t Trail) Write(w io.Writer) {
	b, err := json.Marshal(t)
	if err == nil {
		fmt.Fprintf(w, "%s\n", b)
	}
}

// differ says where two runs parted, "" if they did not.
func differ(a, b Trail) string {
	if a.Hash == b.Hash && a.Steps == b.Steps {
		return ""
	}
	at := 0
	for at < min(len(a.Windows), len(b.Windows)) && a.Windows[at] == b.Windows[at] {
		at++
	}
	return fmt.Sprintf("seed %d: %d and %d steps; the first difference is in steps %d to %d", a.Seed, a.Steps, b.Steps, 1024*at+1, 1024*(at+1))
}

// Twice compares trails with those that the program in exe leaves, run as
// another process with another garbage collector setting and another number of
// threads. args are the arguments that make it write its trails.
func Twice(exe string, args []string, trails []Trail, stderr io.Writer) (*Comparison, error) {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "GOGC=37", "GOMAXPROCS=3", "XENON_SIM_SECOND=1")
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
	return compare(trails, other), nil
}

func compare(trails []Trail, other map[uint64]Trail) *Comparison {
	c := &Comparison{}
	for _, t := range trails {
		c.Compared++
		o, ok := other[t.Seed]
		where := fmt.Sprintf("seed %d did not run", t.Seed)
		if ok {
			where = differ(t, o)
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
	t.all = append(t.all, NewTrail(r))
}

// All is what was gathered.
func (t *Trails) All() []Trail { return t.all }

// Range is the arguments for the seeds of a run.
func Range(from, to uint64) string {
	return strconv.FormatUint(from, 10) + ".." + strconv.FormatUint(to, 10)
}
