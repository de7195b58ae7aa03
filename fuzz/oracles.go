package fuzz

// A Property is a promise of the system as the design and the literature number
// them, where it is checked, and what shows that the check can fail.
type Property struct {
	ID      string
	Says    string
	Checked []Oracle // by which oracles of a run
	Also    string   // where else: an assertion of the code, a test, the model
	// Control is what turns it red: names of mutants (core/faults), or of tests.
	Control []string
}

// Properties lists the safety of consensus (S), liveness (L), and what holds for
// the whole installation (O). Those of things that do not exist yet are not
// among them: O8 (what retention may delete), O15 (the same answers with other
// settings), O17 (formats of other releases).
var Properties = []Property{
	{"S1", "two committed entries at one LSN are the same", []Oracle{Prefix, DurableQuorum}, "modelcheck LogSafety", []string{"M06", "M13", "M18"}},
	{"S2", "what is committed is durable on a majority, or in the object store", []Oracle{DurableQuorum, Archived, Removed}, "", []string{"M29", "M52"}},
	{"S3", "what a client heard of is committed, for ever", []Oracle{LostCommit}, "", []string{"M06"}},
	{"S4", "no term is won twice", []Oracle{OneWinner}, "modelcheck ElectionSafetyFull", []string{"M02"}},
	{"S5", "terms do not fall along a log", []Oracle{Prefix}, "modelcheck LogIsMonotonic", []string{"M13"}},
	{"S6", "configurations of one generation are equal", []Oracle{OneConfig}, "modelcheck ConfigSafety", []string{"M48"}},
	{"S7", "logs that share an entry of their histories are equal up to its end", []Oracle{Prefix}, "", []string{"M13"}},
	{"S8", "a vote, a term and a reported flush outlive a power cut", []Oracle{DurableVote, DurableFlush}, "", []string{"M01", "M30"}},
	{"S9", "commit LSN never passes flush LSN, and does not fall", []Oracle{CommitFalls}, "core.Must in consensus", []string{"M33"}},
	{"S10", "term histories are sorted, and agree on where a term begins", nil, "core.Must in consensus; its properties", []string{"M25"}},
	{"S11", "no truncation goes below what was committed", []Oracle{LostCommit}, "core.Must in consensus", []string{"M16"}},
	{"S12", "readers get committed WAL, once, without a gap", []Oracle{IngestBound, IngestOnce, ServedWAL}, "", []string{"M57", "P09", "T01"}},
	{"S13", "a new leader has everything that is committed", []Oracle{LostCommit}, "", []string{"M06"}},
	{"S14", "WAL goes only when it is stored, and what is stored is what was committed", []Oracle{RemoteHeld, Archived, Removed}, "", []string{"T01", "M52"}},
	{"S15", "a server goes on from exactly the history that it was started from", []Oracle{Prefix, PageReplay}, "intake compares what is written again", []string{"B01", "C02"}},
	{"S16", "histories of clients are linearizable", []Oracle{Linearizable}, "", []string{"S01"}},
	{"S17", "one change of members at a time; who was excluded does not count", []Oracle{OneConfig, NoReturn}, "", []string{"M47"}},
	{"S18", "what was deleted does not come back", []Oracle{NoReturn}, "safekeeper's tests of deletion", []string{"K03", "M50"}},
	{"S19", "the same seed gives the same run", nil, "sim --check-determinism, in a second process", []string{"TestSameSeedSameRun"}},
	{"S20", "each step of the code is one of the model, or nothing", nil, "modelcheck: the model and the code reach the same states", nil},

	{"L1", "healed, somebody is elected and stays", []Oracle{Liveness}, "", []string{"T03"}},
	{"L2", "healed, every write is acknowledged", []Oracle{Liveness}, "", []string{"T03"}},
	{"L3", "healed, all members get level", []Oracle{Liveness}, "", []string{"M09"}},
	{"L4", "making a log level ends", []Oracle{Liveness, Synced}, "", []string{"M09", "M60"}},
	{"L5", "healed, pageservers and the object store catch up, and WAL is trimmed", []Oracle{Liveness}, "", []string{"T03", "T04"}},
	{"L6", "a change of members ends, one way or the other", []Oracle{Liveness}, "", []string{"M45"}},
	{"L7", "duels end", []Oracle{Liveness}, "class duel", []string{"C12"}},
	{"L8", "nobody runs in circles", []Oracle{Quiet}, "netsim: livelock", []string{"TestRestlessness"}},
	{"L9", "a failing disk is left behind, or is seen to have failed", []Oracle{Liveness}, "", []string{"T03"}},

	{"O1", "no acknowledged commit is lost", []Oracle{LostCommit}, "", []string{"M06"}},
	{"O2", "safekeepers agree up to what is committed", []Oracle{Prefix, CommitFalls}, "", []string{"M13", "M33"}},
	{"O3", "one writer for each term", []Oracle{OneWinner, DurableVote}, "", []string{"M01", "M02"}},
	{"O4", "what is committed is on the devices of a majority, of both when there are two", []Oracle{DurableQuorum}, "", []string{"M29", "M42b"}},
	{"O5", "only committed WAL is ingested, and given up only when layers that are stored hold it", []Oracle{IngestBound, RemoteHeld, IndexComplete, DiskHeld}, "", []string{"M57", "T01", "O10", "E01"}},
	{"O6", "a page as of an LSN is what a plain replay makes of it", []Oracle{PageReplay, WrittenPages, TreesKeep}, "", []string{"P02", "X01", "C04"}},
	{"O7", "a branch sees its parent as of its branch point, and nothing of it later", []Oracle{PageReplay, ChildNamed}, "", []string{"B01", "B02", "B04"}},
	{"O9", "an index names complete objects, and no object is overwritten", []Oracle{IndexComplete, IndexSound, WriteOnce}, "", []string{"O10"}},
	{"O10", "an older owner changes nothing that readers see, and deletes nothing", []Oracle{Fenced, Reachable}, "", []string{"B05"}},
	{"O11", "linearizable histories by key", []Oracle{Linearizable}, "", []string{"S01"}},
	{"O12", "transactions over several lists are strictly serializable", []Oracle{Isolated}, "serializability has the anomalies as a table", []string{"S02", "S03"}},
	{"O13", "healed, all that was begun ends", []Oracle{Liveness}, "", []string{"T03"}},
	{"O16", "clients are served unless a fault is under way that excuses it", []Oracle{Available}, "", []string{"M09"}},
	{"O14", "at rest, tasks and connections are within a bound", []Oracle{Quiet}, "", []string{"TestRestlessness"}},
}
