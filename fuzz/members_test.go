package fuzz

import "testing"

// TestMembersMove shows that the runs of some seeds move members as they are
// meant to: through joint configurations that commit, with copies.
func TestMembersMove(t *testing.T) {
	var all Counts
	moved := 0
	for seed := uint64(1); seed <= 40; seed++ {
		p := drawPlan(seed, Classes())
		if !p.moves() {
			continue
		}
		if moved++; moved > 12 {
			break
		}
		r := Run(Options{Seed: seed})
		if r.Err != nil {
			t.Errorf("seed %d: %v", seed, r.Err)
		}
		c := r.Counts
		all.Changes, all.JointCommits, all.Pulls = all.Changes+c.Changes, all.JointCommits+c.JointCommits, all.Pulls+c.Pulls
	}
	t.Logf("%d runs: %d changes of members, %d commits in joint configurations, %d copies", moved, all.Changes, all.JointCommits, all.Pulls)
	if all.Changes == 0 || all.JointCommits == 0 || all.Pulls == 0 {
		t.Error("members did not move")
	}
}
