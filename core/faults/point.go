// Package faults names the places where the code can be made wrong on purpose,
// so that every test and oracle can be shown to catch what it is there for.
//
// Only binaries built with -tags faults hold the wrong code: a place reads
//
//	if faults.On && faults.Hit(faults.AckBeforeFsync) { ... }
//
// and On is a constant. A point is one wrong line, named after what it does.
package faults

// A Point is one place that can be made wrong.
type Point uint16

// The points, by the part that holds them. Numbers have no meaning.
const (
	none Point = iota

	// consensus and safekeeper
	AckBeforeFsync    // M30: an append is acknowledged before its fsync
	VoteNotDurable    // M01: a vote is answered before it is durable
	VoteTwice         // M02: a vote is granted when the term is equal
	HalfElects        // M03: half of the members elect
	OldVotesCount     // M04: the term of a vote response is not looked at
	DonorByLength     // M05: the donor is the longest log, its last term ignored
	DonorAny          // M06: the donor is any voter
	VoteBeforeFlush   // M08: a vote does not flush written WAL first
	StrictUpTo        // M09: an entry exactly at the flush LSN does not count
	KeepTail          // M13: a divergent tail is not cut off
	IgnoreProposerEnd // M14: the common point ignores where the proposer's term ended
	TrustStart        // M16: a late elected message is believed without computing the common point
	AppendUnelected   // M17: an append is taken on a connection without elected
	AppendOldTerm     // M18: an append of a lower term is taken
	AppendGap         // M19: a gap between appends is taken
	NoPrefixKeepsLog  // M25: without a common prefix the acceptor keeps its log
	OldConnCounts     // M27: a reply of an old connection counts
	CommitOldTerm     // M28: WAL of older terms is committed by counting copies
	HalfCommits       // M29: half of the members commit
	CommitUncapped    // M33: an acceptor's commit LSN passes its flush LSN
	CommitFalls       // M34: the commit LSN of a proposer may fall
	StartsUncompared  // M15: where terms begin is not compared, only their numbers
	RestartClean      // M21: after a restart nothing has to be cut off
	FlushAtAnyByte    // M22: the flush LSN may lie within a record
	LossUnseen        // M39: committed WAL that is missing at the start is taken for the log's end
	StaleFlush        // M27b: a flush that began before a truncation counts after it

	// what safekeepers tell each other
	RecoverUnled // M26: a log is copied whose last term is not the term its safekeeper is in
	LearnAnyTerm // M32: a peer's commit LSN is taken over from a log of another last term

	// read leases
	LeaseForgotten // Z01: an acceptor does not tell of older leases
	LeaseAwaitNone // Z02: a server is started before older leases have ended
	LeaseDatedLate // Z03: a lease is dated by when it was granted, not by when it was asked for
	LeaseUnfrozen  // Z04: a server is not stopped when its lease ends
	GateOpen       // Z05: the gate lets pass what was read before the lease was looked at

	// sync
	SyncUntold // M60: a proposer that is to make the log level ends before an acceptor knows what is committed

	// membership
	MembersSwapped    // M42: one set of members takes the place of another in one step
	JointCommitsByOne // M42b: in a joint configuration a majority of the old set commits
	JointElectsByOne  // M43: in a joint configuration a majority of the old set elects
	JointCountsShort  // M11: of the new set as many count as the old one has
	FinishUnsynced    // M44: a change ends before a majority of the new set has what the old one may have committed
	SyncByTerm        // M45: the sync position takes the term promised to for that of the log
	SyncByFew         // M45b: the sync position is that of less than a majority
	FinishUnheard     // M46: a change ends though no majority of the old set knows of it
	AnyGeneration     // M47: messages of another generation are served
	MembersUnguarded  // M48: the register of members is written over whatever is there
	ExcludeAnyTime    // M49: an exclusion is not compared by generation
	PullRevives       // M50: a copy of a timeline is made whatever tombstone there is
	PushCreates       // M51: a proposer creates the timeline that it does not find
	PullUnheld        // M56: WAL that is being copied may be removed meanwhile

	// WAL in the object store, and off the disk
	RemoveUnbacked     // M52: WAL is removed that is not in the object store
	RemoveUnsaved      // M52b: WAL is removed before the control file says so
	RemoveUnstored     // M52c: WAL is removed before its pages are in the object store
	OffloadUncommitted // M53: a segment is stored before all of it is committed
	PartialNameReused  // M54: a partial segment is stored under a name that was used before, and what is left over under it deleted
	CopyFromCommit     // M55: a copy of a timeline begins with the segment of the commit LSN
	BackupUnsure       // A01: a segment counts as stored when the store gave no answer
	ArchiveUnchecked   // A02: a block that is read out of the object store is not compared with its checksum
	EvictUnstored      // A03: an idle timeline leaves the disk though its last segment is not stored
	ReturnShort        // A04: a timeline that comes back to the disk does so without its last page
	LeftoversStay      // A06: the WAL of a deleted timeline stays in the object store
	OffloadUnchecked   // A05: WAL is stored without a look at whether it is WAL

	// damage on a safekeeper's disk
	AnyAddressee   // K05: a safekeeper does what another one was asked for
	CopyUnchecked  // K06: a copy of a timeline is not checked while it is made
	MendUnchecked  // K07: what is put in the place of damaged WAL is not checked
	WoundedVotes   // K08: a safekeeper that lost the end of its log votes
	WoundForgotten // K09: a safekeeper that lost the end of its log does not remember it
	HealedEarly    // K10: a safekeeper counts as whole before it has what the others have
	OldAckCounts   // K11: a proposer counts what a safekeeper had before it lost it

	// safekeepers that lost their disk, or cannot give
	LostMemberCopies // K14: a member that has lost its disk gets a copy and goes on as the same member
	ReaderUnheard    // K17: a safekeeper that is told that what it gave is no WAL does not look
	IdleUnchecked    // K16: bytes of WAL that no record covers are not looked at where WAL is stored or mended

	// compute
	FlushBeforeQuorum   // C01: a flush of WAL returns before the quorum has it
	WALRewriteUnseen    // C02: a WAL page written again is not compared with what was offered
	DsyncForgotten      // C03: a write with O_DSYNC does not wait for the quorum
	TruncateForgotten   // C04: pages cut off by a truncation come back from the base
	PartialWriteForgets // C05: a write of part of a page loses the rest of it
	ReuseSeesBase       // C06: a relation made anew shows the pages of the dropped one
	RenameNotKept       // C07: a settings file renamed into place is not kept for the branch
	UnloggedFromBase    // C08: an unlogged relation does not start as its init fork
	DropForgotten       // C09: a dropped relation is still listed
	ReplyUnmatched      // C10: a page client takes the next answer for its own
	KeptUnfenced        // C11: a superseded endpoint still writes the branch's settings files
	RegisterUnasked     // C12: a server is started anew without asking whom the register names
	StopWaitsForQuorum  // C13: a shutdown without a quorum waits until there is one
	StopDuringStart     // C14: a Stop is not seen while a server starts
	TailExcused         // C15: a record of the last page that can never be right is waited for
	UnkeptOffered       // C16: a record that no timeline keeps goes to the quorum
	AnswerAwaited       // C17: a compute that starts waits for the answer of a pageserver that is gone

	// safekeeper's disk
	ControlNotSynced   // M35: a control file is renamed into place before it is synced
	RenameNotSynced    // M35b: the rename of a control file is not followed by a sync of its directory
	SegmentNotSynced   // M38: a new segment's name is not made durable before WAL is written to it
	SyncRetried        // M31: a failed fsync of WAL is tried again
	ScanSkipped        // M23: after a restart the log ends at the durable commit LSN
	TailKept           // M20: a truncation leaves the bytes beyond it on the disk
	LinkUnchecked      // K01: the link of an appended record to the one before is not checked
	ServeUncommitted   // M57: readers get WAL beyond the commit LSN
	RecoverAnyTerm     // M24: recovery is not bound to a term
	TailNotRewritten   // K02: WAL found at start-up is believed to be durable
	WipeTrusted        // K12: zeroes found behind the end of the log are believed to be durable
	RosterUnsynced     // K13: a roster found at start-up is believed to be durable
	TombstoneForgotten // K03: a deleted timeline leaves no tombstone
	RosterUnsettled    // K04: a roster whose saving failed is left as it may be on the disk

	// register
	RegisterUnconditional // G01: a register is written without its condition
	RegisterUnknownIsDone // G02: a write whose outcome is unknown counts as done
	RegisterUnknownIsLost // G03: a write whose outcome is unknown counts as not done

	// requests to the object store
	ConditionalPutAgain // G04: a conditional put is sent again by whoever repeats requests
	ResumeUnchecked     // G05: the rest of a body is taken from whatever object is there now

	// pageserver
	ForgetTruncate // P01: a read follows a chain past a truncate, drop or create
	NewerPage      // P02: a read serves a version above its LSN
	SkipVMClear    // P03: ingest drops patches of visibility maps
	ChainOffByOne  // P04: a read leaves the newest version of its chain out
	ShortFork      // P05: a fork grows up to the block a record names, without it
	DropMainOnly   // P06: a dropped relation keeps its visibility map
	CopyLater      // P07: a copied database is read as of now, not as of its copy
	SkipWait       // P08: a read does not wait for its LSN
	IngestTwice    // P09: the receiver ingests records again after a reconnect
	BootNow        // P10: a boot set has the counters of now, not those of its LSN

	// a timeline's objects
	RemoteLoadsOldest  // O01: a new owner loads the oldest index
	RemoteClaimsLoaded // O02: a new owner counts on the index it loaded and writes none of its own
	RemoteReportUnseen // O03: remote_consistent_lsn is told without a look for a newer owner
	RemoteDeleteFirst  // O04: a layer is deleted before the index without it is stored
	RemoteDeleteUnseen // O05: a layer is deleted without a look for a newer owner
	RemoteNumberReused // O06: two uploads of an owner share a number
	RemoteUnsureUpload // O07: an upload whose outcome is unknown counts as done
	RemoteSweepsOwn    // O08: a sweep takes uploads of its own owner for left over
	// O09: a downloaded layer's checksum is not compared
	RemoteDownloadUnchecked
	// O10: the index names layers that are not uploaded yet
	RemoteIndexFirst
	// O11: a sweep goes by an index that nobody looked after
	RemoteSweepsUnseen

	// layers of a timeline
	LayerNotSynced    // E01: a manifest names a layer that is not durable
	ManifestNotSynced // E02: a manifest is renamed into place before it is synced
	FlushDropsLast    // E03: a flush leaves the last version of a page out
	ImageOfNeighbour  // E04: the image that a flush makes is another page's
	ImageTooEarly     // E05: the image that a flush makes lacks the record whose place it takes
	LayersPastFloor   // E06: a read goes on in layers below the moment its block came into being
	OriginLost        // E07: a restart takes all blocks for zeroes before their first version
	RestartEarlier    // E08: a restart resumes a layer before the last
	UnreadCopyStays   // E09: a copy of a layer that the disk does not give back is tried for ever
	BadDownloadStays  // E12: a copy of a layer that was downloaded is tried for ever once it is damaged
	FoundDirTrusted   // E13: a directory that is there is believed to be durable
	LostLayerStays    // E10: a layer that is damaged and nowhere else is refused for ever
	LossKeepsLater    // E11: the layers behind one that is lost are kept, and its WAL is not taken in again

	// what a pageserver tells, and takes in
	RemoteTellsDisk // T01: remote_consistent_lsn is told to be what the disk holds
	IngestSkips     // T02: some records are left out
	FlushGivesUp    // T03: after a flush that failed nothing more is flushed
	// T04: a pageserver that was superseded once stays it
	SupersededForGood
	// T06: a timeline that is attached again is not looked after whose it is by now
	AttachedUnlooked
	ForgetsAttached // T05: a pageserver that cannot read its disk when it starts takes it for empty

	// branches
	BranchAdoptsNow  // B01: a branch begins with its ancestor's state of now
	BranchReadsNow   // B02: a branch reads its ancestor's pages as of now
	BranchOwnsPast   // B03: a branch answers for LSNs below its branch point itself
	BranchChildFirst // B04: the child's index is written before the parent names it
	BranchOrphans    // B05: a timeline with children is deleted
	BranchTooEarly   // B06: a branch is made at an LSN that the parent has not reached
	// B07: a branch that is not there yet is forgotten by a parent that is deleted, and may still be made
	BranchUnentombed

	// layers
	BlockUnchecked   // L01: a block's checksum is not compared
	ChainOneBlock    // L02: a read does not follow a chain into the block before
	ChainPastFloor   // L03: a read goes on below the LSNs that it was asked for
	SharedKind       // L04: a record stored for two pages makes both from nothing, or neither
	MapImageFirst    // L05: the layer map does not see a delta layer above an image layer
	MapUnionLeft     // L06: the layer map forgets what half of a tree's layers cover
	MapEditShared    // L07: a change of a layer map changes the map it was made from
	MapOverlapUnseen // L08: a layer that overlaps another is taken

	// redo
	RedoFlipByte         // R01: the last byte of an inserted tuple is wrong
	RedoDeleteXmax       // R02: a deleted tuple's xmax is off by one
	RedoDeleteCtid       // R03: a deleted tuple keeps its ctid
	RedoSuffixOff        // R04: an update takes one byte less from the old tuple's end
	RedoLockHot          // R05: a lock after an undone update leaves hot-updated and ctid
	RedoNoCompaction     // R06: pruning does not compact the page
	RedoKeepLinePointers // R07: vacuum leaves unused line pointers at the end
	RedoFreezeMask       // R08: a frozen tuple is not marked so
	RedoSkipVMClear      // R09: the visibility map keeps the bits of changed pages
	RedoNoShift          // R10: an index tuple goes to the end, not into its place
	RedoSplitLink        // R11: the left half of a split links to the wrong page
	RedoKeepIncomplete   // R12: a split stays incomplete when its parent has the downlink
	RedoDeleteLess       // R13: a deletion of several index tuples leaves the first
	RedoUnlinkRight      // R14: the page right of an unlinked one still links to it
	RedoClogStatus       // R15: an aborted transaction is marked committed
	RedoMemberShift      // R16: a multixact's members lie one place too far
	RedoKeepTail         // R17: a truncated visibility map keeps its tail
	RedoNextMulti        // R18: a new multixact does not move the next one
	RedoKeepLength       // R19: a truncated relation keeps its length
	RedoDropNothing      // R20: the end of a transaction drops no relation
	RedoDedupOrder       // R21: a merged posting list has its first two TIDs swapped
	RedoFreezePlans      // R22: every tuple is frozen as the first plan says
	RedoMultiUnaligned   // R23: tuples inserted together are not aligned in the record
	RedoVisibleLSN       // R24: a heap page's LSN moves with its map where no hints are logged
	RedoHintRefused      // R25: a hint without an image is taken for malformed
	RedoMetaZero         // R26: a btree's meta page counts no heap tuples instead of unknown
	RedoSeqMagic         // R27: a sequence's page has no magic
	RedoKeepRelMap       // R28: a relation map stays as it was
	RedoCopyNothing      // R29: a copied database is empty
	RedoCommitTime       // R30: a commit is a microsecond late
	RedoKeepSegments     // R31: truncated segments of transaction logs stay
	RedoKeepPrepared     // R32: a prepared transaction that ended stays
	RedoKeepSettings     // R33: changed settings are not followed
	RedoKeepSpace        // R34: a dropped tablespace stays
	RedoOffsetLost       // R35: the offset after a new multixact is not written
	RedoNextXID          // R36: a transaction does not move the next transaction id

	// redo of GIN
	RedoGinKeepIncomplete // RI1: a split stays incomplete when its parent has the downlink
	RedoGinKeepReplaced   // RI2: a tuple that is replaced stays beside the new one
	RedoGinKeepRight      // RI3: the page left of a deleted one still links to it
	RedoGinRowUncounted   // RI4: a row in the pending list is not counted
	RedoGinChildUnmoved   // RI5: the old downlink of a split page goes to its left half still
	RedoGinKeepSegment    // RI6: a segment of a posting list that is deleted stays
	RedoGinAddLess        // RI7: the first TID added to a segment is left out
	RedoGinOldCount       // RI8: a leaf of before 9.4 keeps its count of TIDs when it gets posting lists

	// redo of GiST
	RedoGistKeepFollowRight // RT1: the left half of a completed split still points right
	RedoGistNoOverwrite     // RT2: a tuple is deleted and added anew, not replaced in place
	RedoGistDeleteLess      // RT3: a deletion of dead tuples leaves the first
	RedoGistSplitLink       // RT4: the halves of a split are not linked
	RedoGistKeepDownlink    // RT5: a deleted page keeps its downlink
	RedoGistUnmarked        // RT6: a leaf does not tell that it has lost tuples
	RedoGistImageKept       // RT7: the left half of a completed split is as its image has it

	// what no block announces
	RedoOriginStays // I01: the progress of replication origins is forgotten
	SpaceForgotten  // I02: a tablespace is not there when a server starts
	SealAnyBlock    // I03: a page's checksum is that of block 0

	// redo of hash indexes
	RedoHashLock   // RH1: a page that is only locked gets the record's LSN
	RedoHashOrder  // RH2: a tuple goes to the end of its page, not into its place
	RedoHashCount  // RH3: one tuple too few is taken off the count
	RedoHashSpares // RH4: a new overflow page is not counted
	RedoHashLink   // RH5: a page keeps its link to the next when that goes or comes
	RedoHashBit    // RH6: an overflow page's bit keeps its value
	RedoHashMasks  // RH7: the mask of buckets stays when their number doubles
	RedoHashMoved  // RH8: tuples moved between pages go to the end
	RedoHashKept   // RH9: a page that a squeeze leaves alone gets the record's LSN

	// redo of SP-GiST
	RedoSpgCounters  // RS1: redirects and placeholders are not counted
	RedoSpgXID       // RS2: a redirect is of no transaction
	RedoSpgLink      // RS3: a parent keeps the link to where a tuple was
	RedoSpgChain     // RS4: a chain does not get its new tuple
	RedoSpgAllSource // RS5: no leaf tuple of a split goes to the other page
	RedoSpgMove      // RS6: the tuple at the head of a chain is not replaced

	// redo of BRIN
	RedoBrinKeepOld  // RB1: a tuple that went to another page stays
	RedoBrinSlot     // RB2: the next range's slot is written
	RedoBrinSamepage // RB3: a tuple's place changes, not its content
	RedoBrinLast     // RB4: the meta page does not hear of a new revmap page
	RedoBrinShift    // RB5: a tuple that goes keeps its line pointer

	// redo of generic records
	RedoGenericHole  // RG1: the hole is not zeroed
	RedoGenericLast  // RG2: the last piece of a page is left out
	RedoGenericFirst // RG3: pieces that begin in the header are left out
	RedoGenericShort // RG4: the last byte of a piece is left out
	RedoGenericShift // RG5: a piece goes one byte too far

	// WAL codec
	RecordCRCUnchecked  // W01: a record's checksum is not compared
	RecordLinkUnchecked // W02: a record's link to the one before is not checked
	ContUnchecked       // W03: a page need not continue what the page before left unfinished
	OverwriteUnnamed    // W04: the record that stands for a lost one may name any
	SwitchEndsEarly     // W05: after a segment switch the next record is looked for right behind it
	HoleKept            // W06: the hole of a restored image keeps the bytes that were there
	BootRedoAtX         // W07: the redo pointer of a boot's checkpoint ignores a page header
	ImagesOf15          // W08: page images have the flags of 15 whatever wrote them
	XactsOf15           // W09: records of transactions have the parts of 15 whatever wrote them
	ControlOfFirst      // W10: a control file is of the first version with its layout
	LevelLost           // W11: a checkpoint does not say what wal_level was

	// the cross-check of written pages
	SampleFlipped // X01: a page to be compared has a wrong bit
	ServedFlipped // X02: a pageserver's replay of a record leaves a wrong bit

	// the simulator's stand-in for a server
	ShowUncommitted // S01: a value is visible before its commit is durable
	ReadsApart      // S02: a transaction reads each list at a moment of its own
	ReadsUnlocked   // S03: a transaction does not lock what it only reads

	pointCount
)

// names has the word by which `xenon sim --mutant` asks for a point.
var names = map[Point]string{
	AckBeforeFsync:    "M30",
	VoteNotDurable:    "M01",
	VoteTwice:         "M02",
	HalfElects:        "M03",
	OldVotesCount:     "M04",
	DonorByLength:     "M05",
	DonorAny:          "M06",
	VoteBeforeFlush:   "M08",
	StrictUpTo:        "M09",
	KeepTail:          "M13",
	IgnoreProposerEnd: "M14",
	TrustStart:        "M16",
	AppendUnelected:   "M17",
	AppendOldTerm:     "M18",
	AppendGap:         "M19",
	NoPrefixKeepsLog:  "M25",
	OldConnCounts:     "M27",
	CommitOldTerm:     "M28",
	HalfCommits:       "M29",
	CommitUncapped:    "M33",
	CommitFalls:       "M34",
	StaleFlush:        "M27b",
	StartsUncompared:  "M15",
	RestartClean:      "M21",
	FlushAtAnyByte:    "M22",
	LossUnseen:        "M39",

	RecoverUnled:       "M26",
	LearnAnyTerm:       "M32",
	SyncUntold:         "M60",
	LeaseForgotten:     "Z01",
	LeaseAwaitNone:     "Z02",
	LeaseDatedLate:     "Z03",
	LeaseUnfrozen:      "Z04",
	GateOpen:           "Z05",
	ControlNotSynced:   "M35",
	RenameNotSynced:    "M35b",
	SegmentNotSynced:   "M38",
	SyncRetried:        "M31",
	ScanSkipped:        "M23",
	TailKept:           "M20",
	LinkUnchecked:      "K01",
	ServeUncommitted:   "M57",
	RecoverAnyTerm:     "M24",
	TailNotRewritten:   "K02",
	WipeTrusted:        "K12",
	RosterUnsynced:     "K13",
	TombstoneForgotten: "K03",
	RosterUnsettled:    "K04",

	MembersSwapped: "M42", JointCommitsByOne: "M42b", JointElectsByOne: "M43", JointCountsShort: "M11",
	FinishUnsynced: "M44", SyncByTerm: "M45", SyncByFew: "M45b", FinishUnheard: "M46", AnyGeneration: "M47",
	MembersUnguarded: "M48", ExcludeAnyTime: "M49", PullRevives: "M50", PushCreates: "M51", PullUnheld: "M56",

	RemoveUnbacked: "M52", RemoveUnsaved: "M52b", RemoveUnstored: "M52c", OffloadUncommitted: "M53", PartialNameReused: "M54", CopyFromCommit: "M55",
	BackupUnsure: "A01", ArchiveUnchecked: "A02", EvictUnstored: "A03", ReturnShort: "A04", LeftoversStay: "A06", OffloadUnchecked: "A05",
	AnyAddressee: "K05", CopyUnchecked: "K06", MendUnchecked: "K07", WoundedVotes: "K08", WoundForgotten: "K09", HealedEarly: "K10", OldAckCounts: "K11",
	LostMemberCopies: "K14", IdleUnchecked: "K16", ReaderUnheard: "K17",

	FlushBeforeQuorum:   "C01",
	WALRewriteUnseen:    "C02",
	DsyncForgotten:      "C03",
	TruncateForgotten:   "C04",
	PartialWriteForgets: "C05",
	ReuseSeesBase:       "C06",
	RenameNotKept:       "C07",
	UnloggedFromBase:    "C08",
	DropForgotten:       "C09",
	ReplyUnmatched:      "C10",
	KeptUnfenced:        "C11",
	RegisterUnasked:     "C12",
	StopWaitsForQuorum:  "C13",
	StopDuringStart:     "C14",
	TailExcused:         "C15",
	UnkeptOffered:       "C16",
	AnswerAwaited:       "C17",
	RedoFlipByte:        "R01", RedoDeleteXmax: "R02", RedoDeleteCtid: "R03", RedoSuffixOff: "R04", RedoLockHot: "R05",
	RedoNoCompaction: "R06", RedoKeepLinePointers: "R07", RedoFreezeMask: "R08", RedoSkipVMClear: "R09",
	RedoNoShift: "R10", RedoSplitLink: "R11", RedoKeepIncomplete: "R12", RedoDeleteLess: "R13",
	RedoUnlinkRight: "R14", RedoClogStatus: "R15", RedoMemberShift: "R16", RedoKeepTail: "R17",
	RedoNextMulti: "R18", RedoKeepLength: "R19", RedoDropNothing: "R20", RedoDedupOrder: "R21",

	RedoHashLock: "RH1", RedoHashOrder: "RH2", RedoHashCount: "RH3", RedoHashSpares: "RH4", RedoHashLink: "RH5",
	RedoHashBit: "RH6", RedoHashMasks: "RH7", RedoHashMoved: "RH8", RedoHashKept: "RH9",
	RedoSpgCounters: "RS1", RedoSpgXID: "RS2", RedoSpgLink: "RS3", RedoSpgChain: "RS4", RedoSpgAllSource: "RS5", RedoSpgMove: "RS6",
	RedoBrinKeepOld: "RB1", RedoBrinSlot: "RB2", RedoBrinSamepage: "RB3", RedoBrinLast: "RB4", RedoBrinShift: "RB5",
	RedoGenericHole: "RG1", RedoGenericLast: "RG2", RedoGenericFirst: "RG3", RedoGenericShort: "RG4", RedoGenericShift: "RG5",
	ForgetTruncate: "P01", NewerPage: "P02", SkipVMClear: "P03", ChainOffByOne: "P04", ShortFork: "P05", DropMainOnly: "P06", CopyLater: "P07", SkipWait: "P08", IngestTwice: "P09", BootNow: "P10",
	RecordCRCUnchecked: "W01", RecordLinkUnchecked: "W02", ContUnchecked: "W03", OverwriteUnnamed: "W04",
	SwitchEndsEarly: "W05", HoleKept: "W06", BootRedoAtX: "W07", ImagesOf15: "W08", XactsOf15: "W09", ControlOfFirst: "W10", LevelLost: "W11",
	LayerNotSynced: "E01", ManifestNotSynced: "E02", FlushDropsLast: "E03", ImageOfNeighbour: "E04", ImageTooEarly: "E05",
	LayersPastFloor: "E06", OriginLost: "E07", RestartEarlier: "E08", UnreadCopyStays: "E09", LostLayerStays: "E10", LossKeepsLater: "E11", BadDownloadStays: "E12", FoundDirTrusted: "E13",
	RemoteTellsDisk: "T01", IngestSkips: "T02", FlushGivesUp: "T03", SupersededForGood: "T04", ForgetsAttached: "T05", AttachedUnlooked: "T06",
	BranchAdoptsNow: "B01", BranchReadsNow: "B02", BranchOwnsPast: "B03", BranchChildFirst: "B04", BranchOrphans: "B05", BranchTooEarly: "B06", BranchUnentombed: "B07",
	RedoGinKeepIncomplete: "RI1", RedoGinKeepReplaced: "RI2", RedoGinKeepRight: "RI3", RedoGinRowUncounted: "RI4",
	RedoGinChildUnmoved: "RI5", RedoGinKeepSegment: "RI6", RedoGinAddLess: "RI7", RedoGinOldCount: "RI8",
	RedoGistKeepFollowRight: "RT1", RedoGistNoOverwrite: "RT2", RedoGistDeleteLess: "RT3", RedoGistSplitLink: "RT4",
	RedoGistKeepDownlink: "RT5", RedoGistUnmarked: "RT6", RedoGistImageKept: "RT7",
	RedoOriginStays: "I01", SpaceForgotten: "I02", SealAnyBlock: "I03",
	SampleFlipped: "X01", ServedFlipped: "X02",
	ShowUncommitted:       "S01",
	ReadsApart:            "S02",
	ReadsUnlocked:         "S03",
	RegisterUnconditional: "G01",
	RegisterUnknownIsDone: "G02",
	RegisterUnknownIsLost: "G03",

	RemoteLoadsOldest: "O01", RemoteClaimsLoaded: "O02", RemoteReportUnseen: "O03", RemoteDeleteFirst: "O04",
	RemoteDeleteUnseen: "O05", RemoteNumberReused: "O06", RemoteUnsureUpload: "O07", RemoteSweepsOwn: "O08",
	RemoteDownloadUnchecked: "O09", RemoteIndexFirst: "O10", RemoteSweepsUnseen: "O11",
	ConditionalPutAgain: "G04",
	ResumeUnchecked:     "G05",
}

// ByName finds the point that `--mutant name` means.
func ByName(name string) (Point, bool) {
	for p, n := range names { //simsafe:allow names differ, so at most one matches
		if n == name {
			return p, true
		}
	}
	return none, false
}

// Name is the word for p.
func Name(p Point) (string, bool) {
	n, ok := names[p]
	return n, ok
}
