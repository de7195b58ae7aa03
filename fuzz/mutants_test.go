//go:build faults

package fuzz_test

import (
	"slices"
	"testing"

	"xenon/core/faults"
	"xenon/fuzz"
)

// A mutant is code that is wrong, and what finds it.
type mutant struct {
	point   faults.Point
	found   uint64        // the seed that found it when this table was written
	oracles []fuzz.Oracle // any of them
	classes string        // what plans are drawn from; all if empty
}

// bound is how many seeds it may take: plans change with the code around them.
func (m mutant) bound() uint64 { return 40 + 5*m.found }

// panicked is a core.Must that fails: the code found out by itself.
const panicked fuzz.Oracle = "panic"

// mutants has one for every oracle at least. Those of the second half are for
// layers, the object store and branches.
var mutants = []mutant{
	{faults.SampleFlipped, 5, []fuzz.Oracle{fuzz.WrittenPages}, ""},
	{faults.AckBeforeFsync, 1, []fuzz.Oracle{fuzz.DurableFlush}, "power-safekeeper"},
	{faults.VoteNotDurable, 1, []fuzz.Oracle{fuzz.DurableVote}, ""},
	{faults.VoteTwice, 1, []fuzz.Oracle{fuzz.OneWinner}, "duel"},
	{faults.DonorAny, 16, []fuzz.Oracle{fuzz.LostCommit}, "strand,kill-compute"},
	{faults.HalfCommits, 1, []fuzz.Oracle{fuzz.DurableQuorum}, ""},
	{faults.KeepTail, 2, []fuzz.Oracle{fuzz.Prefix, fuzz.DurableFlush}, ""},
	{faults.CommitUncapped, 2, []fuzz.Oracle{fuzz.CommitFalls}, ""},
	{faults.ServeUncommitted, 1, []fuzz.Oracle{fuzz.IngestBound}, ""},
	{faults.NewerPage, 1, []fuzz.Oracle{fuzz.PageReplay, fuzz.WrittenPages}, ""},
	{faults.SkipWait, 1, []fuzz.Oracle{"livelock", fuzz.PageReplay, fuzz.WrittenPages}, ""},
	{faults.TruncateForgotten, 24, []fuzz.Oracle{fuzz.TreesKeep}, "kill-compute,takeover"},
	{faults.ShowUncommitted, 2, []fuzz.Oracle{fuzz.Linearizable}, "strand,zombie,kill-compute"},
	{faults.AppendOldTerm, 2, []fuzz.Oracle{fuzz.DurableFlush, fuzz.Liveness, fuzz.Prefix, fuzz.LostCommit, fuzz.DurableQuorum}, ""},

	{faults.ReadsApart, 13, []fuzz.Oracle{fuzz.Isolated}, ""},
	{faults.ReadsUnlocked, 25, []fuzz.Oracle{fuzz.Isolated}, "hot-key,kill-compute"},
	{faults.StrictUpTo, 2, []fuzz.Oracle{fuzz.Available, fuzz.Liveness}, ""},
	{faults.ScanSkipped, 2, []fuzz.Oracle{fuzz.LostCommit, fuzz.DurableFlush}, "power-safekeeper"},
	{faults.SyncRetried, 1, []fuzz.Oracle{fuzz.DurableFlush}, "failed-sync"},
	{faults.LearnAnyTerm, 35, []fuzz.Oracle{fuzz.Prefix}, ""},
	{faults.MembersSwapped, 1, []fuzz.Oracle{fuzz.OneConfig}, ""},
	{faults.MembersUnguarded, 13, []fuzz.Oracle{fuzz.OneConfig}, ""},
	{faults.RemoveUnbacked, 8, []fuzz.Oracle{fuzz.Removed}, ""},
	{faults.RemoveUnsaved, 9, []fuzz.Oracle{fuzz.Liveness, fuzz.Available}, "cut-at-name,cut-at-write,lost-names"},
	{faults.RemoveUnstored, 1, []fuzz.Oracle{fuzz.Removed}, ""},
	{faults.OffloadUncommitted, 12, []fuzz.Oracle{fuzz.Archived}, ""},
	{faults.CopyFromCommit, 4, []fuzz.Oracle{fuzz.DurableFlush}, "kill-safekeeper"},
	{faults.LostMemberCopies, 5, []fuzz.Oracle{fuzz.NoReturn}, "wipe-safekeeper,kill-safekeeper,isolate,partition"},
	{faults.PushCreates, 2, []fuzz.Oracle{fuzz.NoReturn}, "wipe-safekeeper,kill-safekeeper"},
	{faults.BackupUnsure, 34, []fuzz.Oracle{fuzz.Removed}, "bucket-unknown"},

	{faults.LayerNotSynced, 1, []fuzz.Oracle{fuzz.DiskHeld}, "at-flush,lost-bytes,lost-names,power-pageserver"},
	{faults.FlushDropsLast, 1, []fuzz.Oracle{fuzz.PageReplay, fuzz.Linearizable, fuzz.Liveness, fuzz.WrittenPages}, ""},
	{faults.ImageTooEarly, 18, []fuzz.Oracle{fuzz.PageReplay, fuzz.Linearizable, fuzz.Liveness, fuzz.WrittenPages}, ""},
	{faults.LayersPastFloor, 4, []fuzz.Oracle{fuzz.PageReplay, fuzz.WrittenPages}, ""},
	{faults.RestartEarlier, 1, []fuzz.Oracle{fuzz.DiskHeld, panicked, fuzz.WrittenPages}, "kill-pageserver"},
	{faults.SupersededForGood, 25, []fuzz.Oracle{fuzz.Liveness, fuzz.Available}, ""},
	{faults.FlushGivesUp, 1, []fuzz.Oracle{fuzz.Liveness, fuzz.Available}, "pageserver-full,pageserver-io"},
	{faults.IngestTwice, 1, []fuzz.Oracle{fuzz.IngestOnce, panicked}, ""},
	{faults.IngestSkips, 1, []fuzz.Oracle{fuzz.IngestOnce, fuzz.WrittenPages}, ""},
	{faults.RemoteTellsDisk, 2, []fuzz.Oracle{fuzz.RemoteHeld}, ""},
	{faults.RemoteLoadsOldest, 1, []fuzz.Oracle{fuzz.RemoteHeld}, ""},
	{faults.RemoteReportUnseen, 3, []fuzz.Oracle{fuzz.RemoteHeld}, "index-unknown,replace-pageserver,kill-pageserver,pause-pageserver"},
	{faults.RemoteClaimsLoaded, 12, []fuzz.Oracle{fuzz.Reachable, fuzz.IndexComplete, fuzz.DiskHeld, fuzz.RemoteHeld, fuzz.Liveness, fuzz.WrittenPages}, "replace-pageserver,index-unknown"},
	{faults.RemoteIndexFirst, 2, []fuzz.Oracle{fuzz.IndexComplete}, ""},
	{faults.BranchAdoptsNow, 1, []fuzz.Oracle{fuzz.PageReplay, fuzz.Liveness, fuzz.WrittenPages}, ""},
	{faults.BranchReadsNow, 1, []fuzz.Oracle{fuzz.PageReplay, fuzz.Liveness, fuzz.WrittenPages}, ""},
	{faults.BranchOwnsPast, 4, []fuzz.Oracle{fuzz.PageReplay, fuzz.WrittenPages}, ""},
	{faults.BranchChildFirst, 1, []fuzz.Oracle{fuzz.ChildNamed}, ""},
	{faults.BranchOrphans, 12, []fuzz.Oracle{fuzz.Reachable}, ""},
}

// many is from how many seeds on a mutant takes its time: those run with
// XENON_FULL alone.
const many = 10

// TestPlantedFaults: every oracle fails for code that is wrong in the way it
// watches for, within the number of seeds given.
func TestPlantedFaults(t *testing.T) {
	for _, m := range mutants {
		if m.found > seeds(many, 1<<32) {
			continue
		}
		name, _ := faults.Name(m.point)
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(m.point)()
			o := fuzz.Options{}
			if m.classes != "" {
				var err error
				if o.Classes, err = fuzz.ParseClasses(m.classes); err != nil {
					t.Fatal(err)
				}
			}
			for o.Seed = 1; o.Seed <= m.bound(); o.Seed++ {
				r := fuzz.Run(o)
				if r.Err == nil {
					continue
				}
				t.Logf("found at seed %d by %s", o.Seed, r.Oracle())
				if !slices.Contains(m.oracles, fuzz.Oracle(r.Oracle())) {
					t.Fatalf("seed %d failed by %s, want %v:\n%v", o.Seed, r.Oracle(), m.oracles, r.Err)
				}
				return
			}
			t.Fatalf("not found in %d seeds", m.bound())
		})
	}
}

// TestCorpusFinds: a plan of the corpus still fails on the mutant that it was
// kept for: it has not become one in which nothing happens.
func TestCorpusFinds(t *testing.T) {
	for _, c := range corpus(t) {
		if c.mutant == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			p, ok := faults.ByName(c.mutant)
			if !ok {
				t.Fatalf("no mutant is called %q", c.mutant)
			}
			defer faults.Plant(p)()
			if r := fuzz.Run(fuzz.Options{Plan: c.plan}); r.Err == nil {
				t.Errorf("the plan finds %s no more", c.mutant)
			}
		})
	}
}
