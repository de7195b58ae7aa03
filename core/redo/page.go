package redo

import (
	"encoding/binary"

	"xenon/core"
)

// Offsets and flags of the page header (src/include/storage/bufpage.h,
// PageHeaderData), and of a line pointer (src/include/storage/itemid.h).
const (
	pdFlags    = 10
	pdLower    = 12
	pdUpper    = 14
	pdSpecial  = 16
	pdSizeVer  = 18
	pdPruneXID = 20
	headerSize = 24
	itemSize   = 4

	flagHasFreeLines = 1 // PD_HAS_FREE_LINES
	flagPageFull     = 2 // PD_PAGE_FULL
	flagAllVisible   = 4 // PD_ALL_VISIBLE

	lpUnused   = 0
	lpNormal   = 1
	lpRedirect = 2
	lpDead     = 3

	sizeAndVersion = core.PageSize | 4 // PG_PAGE_LAYOUT_VERSION is 4
)

func u16(b []byte, off int) uint16      { return binary.LittleEndian.Uint16(b[off:]) }
func u32(b []byte, off int) uint32      { return binary.LittleEndian.Uint32(b[off:]) }
func u64(b []byte, off int) uint64      { return binary.LittleEndian.Uint64(b[off:]) }
func put16(b []byte, off int, v uint16) { binary.LittleEndian.PutUint16(b[off:], v) }
func put32(b []byte, off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
func put64(b []byte, off int, v uint64) { binary.LittleEndian.PutUint64(b[off:], v) }
func maxAlign(n int) int                { return (n + 7) &^ 7 }
func shortAlign(n int) int              { return (n + 1) &^ 1 }
func setLSN(p *Page, lsn core.LSN)      { put32(p[:], 0, uint32(lsn>>32)); put32(p[:], 4, uint32(lsn)) }
func lower(p *Page) int                 { return int(u16(p[:], pdLower)) }
func upper(p *Page) int                 { return int(u16(p[:], pdUpper)) }
func special(p *Page) int               { return int(u16(p[:], pdSpecial)) }
func setLower(p *Page, v int)           { put16(p[:], pdLower, uint16(v)) }
func setUpper(p *Page, v int)           { put16(p[:], pdUpper, uint16(v)) }
func setFlags(p *Page, set uint16)      { put16(p[:], pdFlags, u16(p[:], pdFlags)|set) }
func clearFlags(p *Page, gone uint16)   { put16(p[:], pdFlags, u16(p[:], pdFlags)&^gone) }
func setPruneXID(p *Page, xid uint32)   { put32(p[:], pdPruneXID, xid) }

// An itemID is one line pointer.
type itemID uint32

func makeItem(off, flags, length int) itemID {
	return itemID(uint32(off)&0x7FFF | uint32(flags)<<15 | uint32(length)<<17)
}
func (it itemID) off() int         { return int(it & 0x7FFF) }
func (it itemID) flags() int       { return int(it >> 15 & 3) }
func (it itemID) len() int         { return int(it >> 17) }
func (it itemID) hasStorage() bool { return it.len() != 0 }

// maxOffset is the number of line pointers (PageGetMaxOffsetNumber).
func maxOffset(p *Page) int {
	if lower(p) <= headerSize {
		return 0
	}
	return (lower(p) - headerSize) / itemSize
}

func itemAt(p *Page, n int) itemID      { return itemID(u32(p[:], headerSize+(n-1)*itemSize)) }
func setItem(p *Page, n int, it itemID) { put32(p[:], headerSize+(n-1)*itemSize, uint32(it)) }

// initPage makes an empty page with specialSize bytes of special space
// (PageInit).
func initPage(p *Page, specialSize int) {
	clear(p[:])
	setLower(p, headerSize)
	setUpper(p, core.PageSize-maxAlign(specialSize))
	put16(p[:], pdSpecial, uint16(core.PageSize-maxAlign(specialSize)))
	put16(p[:], pdSizeVer, sizeAndVersion)
}

// sane tells whether the header's pointers are in order, so that the routines
// below stay inside the page whatever bytes it holds.
func sane(p *Page) bool {
	return lower(p) >= headerSize && lower(p) <= upper(p) && upper(p) <= special(p) &&
		special(p) <= core.PageSize && special(p)%8 == 0
}
