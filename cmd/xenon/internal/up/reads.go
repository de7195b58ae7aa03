package up

import (
	"cmp"
	"fmt"

	"xenon/compute"
)

// reads is what the reads of an endpoint promise, and whether answers go
// through a gate: what this start asked for, else what xenon.toml says.
func (in *installation) reads() (promise string, gate bool, err error) {
	s, err := in.home.Settings()
	if err != nil {
		return "", false, err
	}
	r, err := compute.ParseReads(cmp.Or(in.opts.Reads, s.Reads))
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", in.home.Path("xenon.toml"), err)
	}
	if gate = s.ReadGate; in.opts.ReadGate != nil {
		gate = *in.opts.ReadGate
	}
	return string(r), gate, nil
}
