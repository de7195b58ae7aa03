package fuzz

// Draw is the plan that Run makes of a seed with faults of the classes given;
// nil is all of them. Who carries it out on something else than a simulated
// cluster takes the classes that he knows how to bring about.
func Draw(seed uint64, from []Class) *Plan { return (&Options{Seed: seed, Classes: from}).plan() }
