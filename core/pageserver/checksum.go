package pageserver

import (
	"encoding/binary"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/redo"
)

// Parameters of the page checksum (src/include/storage/checksum_impl.h).
const (
	checksumSums  = 32
	checksumPrime = 16777619
)

var checksumBase = [checksumSums]uint32{
	0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
	0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
	0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
	0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
}

// pageChecksum is pd_checksum of a page as block blk (pg_checksum_page): the
// field itself counts as zero.
func pageChecksum(page []byte, blk uint32) uint16 {
	sums := checksumBase
	for row := 0; row < core.PageSize; row += 4 * checksumSums {
		for i := range sums {
			v := binary.LittleEndian.Uint32(page[row+4*i:])
			if row == 0 && i == 2 {
				v &^= 0xFFFF
			}
			sums[i] = checksumStep(sums[i], v)
		}
	}
	var sum uint32
	for i := range sums {
		sum ^= checksumStep(checksumStep(sums[i], 0), 0)
	}
	return uint16((sum^blk)%65535 + 1)
}

func checksumStep(sum, v uint32) uint32 {
	tmp := sum ^ v
	return tmp*checksumPrime ^ tmp>>17
}

// seal gives pages their checksums, if the cluster has them: what redo leaves in
// the field is of an earlier version, or of none (PageSetChecksumInplace).
func (t *Timeline) seal(reqs []PageAt, pages []redo.Page, errs []error) {
	if t.ctl.ChecksumVersion == 0 {
		return
	}
	for i := range reqs {
		p, blk := &pages[i], reqs[i].Block
		if errs[i] != nil || redo.IsNew(p) {
			continue
		}
		if faults.On && faults.Hit(faults.SealAnyBlock) {
			blk = 0
		}
		binary.LittleEndian.PutUint16(p[pdChecksum:], pageChecksum(p[:], blk))
	}
}

// pdChecksum is the offset of pd_checksum (src/include/storage/bufpage.h).
const pdChecksum = 8

func isZero(page []byte) bool {
	for _, b := range page {
		if b != 0 {
			return false
		}
	}
	return true
}
