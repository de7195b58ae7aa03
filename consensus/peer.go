package consensus

import (
	"slices"

	"xenon/core"
	"xenon/core/faults"
)

// A PeerReport is what another safekeeper of the timeline tells of itself, all
// of one moment. It is a hint: true then, and old when it is heard.
type PeerReport struct {
	Node     core.NodeID
	Config   Configuration
	Term     core.Term // promised to
	LastTerm core.Term // of the effective history
	Flush    core.LSN
	// Positions that the acceptor may take over while LastTerm is its own.
	Commit, Horizon, RemoteConsistent core.LSN
	// Backup is up to where it knows the WAL to be in the object store, and
	// LocalStart from where on it has WAL. Stuck tells that it fails to store any.
	Backup, LocalStart core.LSN
	Stuck              bool
	// Wounded tells that the end of its log was lost and is not back.
	Wounded bool
}

// Position is where the peer's log ends.
func (r PeerReport) Position() Position { return Position{r.LastTerm, r.Flush} }

// Led tells whether the peer's log is that of the term it has promised to, which
// proves that a proposer of that term was elected and made it so.
func (r PeerReport) Led() bool {
	return r.Term == r.LastTerm && r.Term != 0 || faults.On && faults.Hit(faults.RecoverUnled)
}

// Position is where the own log ends.
func (a *Acceptor) Position() Position { return Position{a.History().LastTerm(), a.FlushLSN()} }

// Learn takes over what a peer knows to be committed or not needed any more, as
// the message of a proposer would tell it. The last terms must be equal: then
// both logs are beginnings of that term's, and what is committed in one is
// committed in the other as far as it goes. With another last term the same
// LSN may be the end of other WAL. A control file owed for it is returned.
func (a *Acceptor) Learn(r PeerReport) (owed *Control) {
	if r.LastTerm == a.History().LastTerm() || faults.On && faults.Hit(faults.LearnAnyTerm) {
		a.learned = max(a.learned, r.Commit)
		a.horizon = max(a.horizon, min(r.Horizon, a.commit))
		owed = a.advance()
	}
	a.proven = max(a.proven, r.LastTerm)
	// What is stored was committed, in whatever log, and counts as far as it is
	// known to be committed here. One that lags has another last term, and may
	// have to let WAL go before it can take more.
	a.ReportRemote(r.RemoteConsistent)
	a.ReportBackup(r.Backup)
	return owed
}

// MayCopy tells whether the log of a peer is to be copied, in the absence of a
// proposer that would send it: it is ahead, and what a proposer of a term that
// this acceptor may still obey has made it. The copy is made as that proposer
// would: vote, elected message, appends.
func (a *Acceptor) MayCopy(r PeerReport) bool {
	return r.Led() && r.Term >= a.control.Term && a.Position().Less(r.Position()) &&
		r.Config.Generation >= a.control.Config.Generation && r.Config.Has(a.node)
}

// Donors lists the peers to copy from, the one whose log is most advanced first:
// the next is asked when one cannot give.
func (a *Acceptor) Donors(peers []PeerReport) (list []PeerReport) {
	for _, r := range peers {
		if a.MayCopy(r) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(x, y PeerReport) int {
		switch {
		case y.Position().Less(x.Position()):
			return -1
		case x.Position().Less(y.Position()):
			return 1
		}
		return 0
	})
	return list
}
