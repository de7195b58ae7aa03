package consensus

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"xenon/core"
	"xenon/core/faults"
)

// ReportBackup takes up to where the WAL is in the object store. Whoever stores
// it or hears of it may be ahead of what is known to be committed here.
func (a *Acceptor) ReportBackup(lsn core.LSN) {
	if faults.On && faults.Hit(faults.OffloadUncommitted) {
		a.backup = max(a.backup, lsn)
	}
	a.backup = max(a.backup, min(lsn, a.commit))
}

// BackupLSN is up to where the WAL is in the object store, in whole segments,
// as far as it is committed here.
func (a *Acceptor) BackupLSN() core.LSN { return a.backup }

// RemoteConsistentLSN is up to where the pageserver needs no WAL any more.
func (a *Acceptor) RemoteConsistentLSN() core.LSN { return a.remote }

// A Hold keeps WAL from LSN on where it is.
type Hold struct {
	LSN core.LSN
	// Why is for people: who needs the WAL, or what must happen first.
	Why string
}

// Removable is up to where WAL may leave the node's disk, and what holds the WAL
// after it: pages that are not in the object store, WAL that is not, what is not
// committed, readers and copies. WAL goes once the control file on the disk
// says what this was worked out from, not before.
func (a *Acceptor) Removable(others []Hold) Hold {
	h := Hold{a.commit, "the WAL above is not committed"}
	least := func(x Hold) {
		if x.LSN < h.LSN {
			h = x
		}
	}
	if !(faults.On && faults.Hit(faults.RemoveUnstored)) {
		least(Hold{a.remote, "the pageserver has not stored the pages of the WAL above in the object store"})
	}
	if !(faults.On && faults.Hit(faults.RemoveUnbacked)) {
		least(Hold{a.backup, "the WAL above is not in the object store in whole segments"})
	}
	for _, x := range others {
		least(x)
	}
	return h
}

// Trim tells that WAL below lsn, a segment's start, is about to be removed, and
// returns the control file that must be on the disk before. nil means that none
// is here.
func (a *Acceptor) Trim(lsn core.LSN) *Control {
	if lsn <= a.control.LocalStart {
		return nil
	}
	core.Must(lsn <= a.commit, "WAL is to be removed up to %s, committed is only %s", lsn, a.commit)
	return a.owe(func(c *Control) { c.LocalStart = lsn })
}

// Storable tells whether a segment that ends at end may be stored: all of it is
// committed.
func (a *Acceptor) Storable(end core.LSN) bool {
	if faults.On && faults.Hit(faults.OffloadUncommitted) {
		return end <= a.written.Bytes
	}
	return end <= a.commit
}

// offloadLag is how far a safekeeper may be behind the most advanced one and
// still be the one to store WAL: what Neon allows.
const offloadLag = 128 << 20

// Offloader picks the safekeeper that stores the WAL of a timeline, among those
// that were heard of of late: it is caught up, has the WAL that is not stored
// yet, and does not fail at it. The choice is a hint that spreads the work: two
// that both take themselves for chosen store the same bytes. 0 is none.
func Offloader(id core.TTID, heard []PeerReport) core.NodeID {
	var commit, backup core.LSN
	for _, r := range heard {
		commit, backup = max(commit, r.Commit), max(backup, r.Backup)
	}
	var best core.NodeID
	var weight uint64
	for _, r := range heard {
		if r.Commit+offloadLag < commit || r.LocalStart > backup || r.Stuck {
			continue
		}
		if w := lot(id, r.Node); best == 0 || w > weight || w == weight && r.Node < best {
			best, weight = r.Node, w
		}
	}
	return best
}

// lot is what a node draws for a timeline: a number of its own for each.
func lot(id core.TTID, node core.NodeID) uint64 {
	h := fnv.New64a()
	h.Write(id.Tenant[:])
	h.Write(id.Timeline[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(node)))
	x := h.Sum64() // whose low bits alone tell nodes apart
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

func (h Hold) String() string { return fmt.Sprintf("%s: %s", h.LSN, h.Why) }
