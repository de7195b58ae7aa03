package redo

import (
	"math"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/wal"
)

// slruPage reads the number of an SLRU's page, which 17 made 64 bits wide. The
// pages kept have numbers of 32 bits all the same: they follow from counters
// of 32 bits.
func (c *cursor) slruPage(rec *wal.Record) uint32 {
	if rec.Major() < 17 {
		return c.u32()
	}
	page := c.u64()
	c.bad = c.bad || page > math.MaxUint32
	return uint32(page)
}

// slruKey is the key of page number page of an SLRU.
func slruKey(s core.SLRU, page uint32) core.Key {
	return core.SLRUBlockKey(s, page/core.SLRUSegmentPages, page%core.SLRUSegmentPages)
}

// zeroSLRUPage adds the patch that makes a page of zeroes.
func (d *Effects) zeroSLRUPage(s core.SLRU, page uint32) {
	start := len(d.arena)
	d.arena = append(d.arena, opZero)
	d.sealPatch(slruKey(s, page), start)
}

// segments says which segments of an SLRU go.
type segments struct {
	rule        dropRule
	first, last uint32
}

type dropRule uint8

const (
	dropBefore dropRule = iota + 1 // all pages of it precede page last
	dropRange                      // from first up to but not including last, wrapping
	dropAll
)

// maxMemberSegment is the segment of the highest multixact member,
// MXOffsetToMemberSegment(MaxMultiXactOffset).
const maxMemberSegment = 0xFFFFFFFF / membersPerPage / core.SLRUSegmentPages

// DropsSegment tells whether an SLRUTruncate removes segment seg of e.SLRU.
func (e *Effect) DropsSegment(seg uint32) bool {
	d := e.drop
	if faults.On && faults.Hit(faults.RedoKeepSegments) {
		return false
	}
	switch d.rule {
	case dropBefore:
		page := seg * core.SLRUSegmentPages
		return pagePrecedes(e.SLRU, page, d.last) && pagePrecedes(e.SLRU, page+core.SLRUSegmentPages-1, d.last)
	case dropRange:
		if d.first <= d.last {
			return seg >= d.first && seg < d.last
		}
		return seg >= d.first && seg <= maxMemberSegment || seg < d.last
	case dropAll:
		return true
	}
	return false
}

// pagePrecedes is the PagePrecedes of each SLRU: whether page a, as a whole, is
// older than page b where numbers wrap around (CLOGPagePrecedes,
// MultiXactOffsetPagePrecedes, CommitTsPagePrecedes).
func pagePrecedes(s core.SLRU, a, b uint32) bool {
	per, first := uint32(xactsPerClogPage), uint32(3) // FirstNormalTransactionId
	switch s {
	case core.MultiXactOffsets:
		per, first = multisPerOffsetsPage, 1 // FirstMultiXactId
	case core.CommitTs:
		per = commitTsPerPage
	}
	x, y := a*per+first+1, b*per+first+1
	if s == core.MultiXactOffsets {
		return int32(x-y) < 0 && int32(x-(y+per-1)) < 0
	}
	return precedes(x, y) && precedes(x, y+per-1)
}
