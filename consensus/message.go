package consensus

import "xenon/core"

// MaxAppend is the most WAL one append carries: MAX_SEND_SIZE of the
// walproposer protocol, 16 pages.
const MaxAppend = 16 * core.WALPageSize

// The messages of the walproposer protocol, version 3. Package core/wire has
// their bytes.

// A Server is what a proposer tells of its PostgreSQL, and an acceptor checks
// against what the timeline was created with.
type Server struct {
	PGVersion   uint32 // PG_VERSION_NUM, e.g. 150014
	SystemID    uint64 // of pg_control; 0 is unknown
	SegmentSize uint32 // wal_segment_size in bytes
}

// Major is the major version of PostgreSQL, e.g. 15.
func (s Server) Major() uint32 { return s.PGVersion / 10000 }

// A ProposerGreeting is the first message of a connection.
type ProposerGreeting struct {
	TTID   core.TTID
	Config Configuration // the proposer's; generation 0 if it knows none yet
	Server Server
}

// An AcceptorGreeting answers a ProposerGreeting.
type AcceptorGreeting struct {
	Node   core.NodeID
	Config Configuration // the acceptor's, after it took a higher one
	Term   core.Term     // the highest it promised anything to
}

// A VoteRequest asks an acceptor to promise that it obeys no term below Term.
type VoteRequest struct {
	Generation core.Generation
	Term       core.Term
}

// A VoteResponse tells where the acceptor's log stands, granted or not.
type VoteResponse struct {
	Generation core.Generation
	Term       core.Term // the acceptor's, after the vote
	Granted    bool
	Flush      core.LSN
	Truncate   core.LSN // the acceptor's horizon: a hint below which nobody lacks WAL
	History    History  // effective: up to Flush
}

// Position orders logs of voters.
func (v VoteResponse) Position() Position { return Position{v.History.LastTerm(), v.Flush} }

// A ProposerElected tells an acceptor the history of the log it is to hold and
// where the proposer will begin to stream. It has no answer.
type ProposerElected struct {
	Generation core.Generation
	Term       core.Term
	Start      core.LSN
	History    History
}

// An AppendRequest carries WAL [Begin, End), or none: a heartbeat, and the
// bearer of Commit and Truncate.
type AppendRequest struct {
	Generation       core.Generation
	Term             core.Term
	Begin, End       core.LSN
	Commit, Truncate core.LSN
	WAL              []byte // End-Begin bytes; belongs to the sender
}

// An AppendResponse tells what an acceptor holds durably. One may answer
// several appends.
type AppendResponse struct {
	Generation    core.Generation
	Term          core.Term
	Flush, Commit core.LSN // both 0 if Term is above the request's: nothing was done
	Standby       StandbyFeedback
	HasFeedback   bool // whether Feedback was sent
	Feedback      PageserverFeedback
}

// StandbyFeedback is what hot standbys behind a safekeeper reported, all of
// them together; zeros if there are none.
type StandbyFeedback struct {
	Time              int64  // microseconds since 2000-01-01
	Xmin, CatalogXmin uint64 // full transaction ids; 0 is none
}

// PageserverFeedback is how far a pageserver has come; each LSN is the end of
// the last record it speaks of.
type PageserverFeedback struct {
	TimelineSize     uint64   // logical bytes; only shard 0 tells it
	LastReceived     core.LSN // ps_writelsn: received and ingested
	DiskConsistent   core.LSN // ps_flushlsn: on its disk
	RemoteConsistent core.LSN // ps_applylsn: in the object store
	ReplyTime        int64    // microseconds since 2000-01-01
	Shard            uint32
	Corruption       bool // the pageserver found corrupt data
}
