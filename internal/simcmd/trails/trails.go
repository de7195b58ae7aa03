// Package trails says what a run of the simulator leaves behind it, and where
// two runs that should be equal part. Start at [Of] and [Differ].
package trails

import (
	"encoding/json"
	"fmt"
	"io"

	"xenon/fuzz"
)

// A Trail is what a run left: equal seeds leave equal trails.
type Trail struct {
	Seed    uint64   `json:"seed"`
	Hash    uint64   `json:"hash"`
	Steps   uint64   `json:"steps"`
	Windows []uint64 `json:"windows"` // the hash after each 1,024 steps
}

// Of is that of a run.
func Of(r *fuzz.Result) Trail { return Trail{r.Seed, r.Hash, r.Steps, r.Windows} }

// Write writes the trail as a line.
func (t Trail) Write(w io.Writer) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// Differ says where two runs parted, "" if they did not.
func Differ(a, b Trail) string {
	if a.Hash == b.Hash && a.Steps == b.Steps {
		return ""
	}
	at := Parted(a, b)
	return fmt.Sprintf("seed %d: %d and %d steps; the first difference is in steps %d to %d", a.Seed, a.Steps, b.Steps, 1024*at+1, 1024*(at+1))
}

// Parted is the first window of 1,024 steps after which two runs differ.
func Parted(a, b Trail) (at int) {
	for at < min(len(a.Windows), len(b.Windows)) && a.Windows[at] == b.Windows[at] {
		at++
	}
	return at
}
