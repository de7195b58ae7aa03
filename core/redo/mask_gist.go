package redo

// maskGist hides what replay of Gist may differ in (gist_mask).
//
// It hides more than PostgreSQL does: redo of DELETE marks the page as one that
// has lost tuples, the primary does not, and so a recovery of PostgreSQL with
// wal_consistency_checking stops there. What replay makes is what counts.
func maskGist(p *Page) {
	maskCommon(p)
	o, ok := gistOpaqueOf(p)
	if !ok {
		return
	}
	o.setNSN(0) // an LSN of its own
	// The flag goes from the left half of a split after the record is written.
	o.setFlags(gistFollowRight)
	if o.isLeaf() {
		maskItemFlags(p)
	}
	o.clearFlags(gistHasGarbage | gistTuplesDeleted)
}
