package fuzz

import "time"

// Reference is the plan that the speed of simulation is measured with: three
// safekeepers, two pageservers, one compute; some ten commits a second of about
// 1 KiB of WAL and twenty pages read back, and every class of faults now and
// then. It has no branches.
func Reference(seed uint64, length time.Duration) *Plan {
	d := dice(seed)
	p := &Plan{Version: planVersion, Seed: seed, Topology: usual, Length: length}
	p.Topology.Computes = 1
	// Of a client's calls, each behind a pause, four of nine are writes.
	p.Load = load{
		Clients: 2, Think: 85 * time.Millisecond, ValueMax: 1000, BulkMax: 1000, Churn: 20, Evictions: 100,
		Memory: 16 << 20, Distance: 1 << 20, Buffer: 1 << 20, Direct: 16 << 10, CrossCheck: 1, Idle: 3600, Readers: 2,
	}
	const between = 3 * time.Minute // strikes of one class
	for _, c := range Classes() {
		r := d.of("reference %s", c)
		times := int((length + time.Duration(r.Int64N(int64(between)))) / between)
		for range times {
			p.Steps = append(p.Steps, Step{
				At: millis(r, length), Class: c, Which: r.IntN(1 << 16),
				For: time.Duration(20+logUniform(r, 2000)) * time.Millisecond,
			})
		}
	}
	p.sort()
	return p
}
