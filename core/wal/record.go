// Package wal reads and writes PostgreSQL's write-ahead log: segments, pages,
// records, page images, the control file, the checkpoint that boots a server
// at an LSN. What differs between major versions stands in tables keyed by
// the page magic.
//
// Start at [Record] and the [Decoder] that makes it; [Encoder] is its inverse,
// [ShutdownCheckpoint] boots a server.
package wal

import (
	"encoding/binary"

	"xenon/core"
)

// A RmgrID names the resource manager of a record
// (src/include/access/rmgrlist.h). 128 to 255 belong to extensions.
type RmgrID uint8

// A Record is one decoded WAL record. Its slices point into the decoder's
// buffer and are valid until the next record is decoded; Clone keeps one.
type Record struct {
	// Version is whose tables took the record apart; a record made by hand may
	// leave it nil, which stands for [PG15].
	Version *Version

	Start core.LSN // where its header begins
	End   core.LSN // where the next record may begin: aligned to 8; a page changed by it gets this LSN
	Prev  core.LSN // xl_prev
	Len   uint32   // xl_tot_len
	XID   uint32
	Rmgr  RmgrID
	Info  uint8 // xl_info; the high four bits are the manager's opcode and flags

	Origin    uint16 // replication origin, 0 if none
	HasOrigin bool
	TopXID    uint32 // top-level xid logged with a subtransaction, 0 if none

	Blocks []Block // in the order of the record, ascending ID
	Main   []byte  // main data
	Raw    []byte  // the whole record, xl_tot_len bytes, page headers taken out
}

// Major is the major version of PostgreSQL that wrote the record.
func (r *Record) Major() int {
	if r.Version == nil {
		return PG15.Major
	}
	return r.Version.Major
}

// Op is the opcode: the high bits of Info that belong to the manager.
func (r *Record) Op() uint8 { return r.Info & 0xF0 }

// Block finds the block reference with an id.
func (r *Record) Block(id uint8) *Block {
	for i := range r.Blocks {
		if r.Blocks[i].ID == id {
			return &r.Blocks[i]
		}
	}
	return nil
}

// A Block is one block reference of a record
// (src/include/access/xlogrecord.h, XLogRecordBlockHeader).
type Block struct {
	ID    uint8
	Rel   core.Rel
	Block uint32
	// WillInit tells that redo makes the page from nothing (BKPBLOCK_WILL_INIT).
	WillInit bool
	// HasImage tells that there is an image, ApplyImage that redo must restore
	// it (BKPIMAGE_APPLY); an image without it is there for checking only.
	HasImage, ApplyImage bool
	HoleOffset, HoleLen  uint16
	Compression          Compression // of Image
	ImageInfo            uint8       // bimg_info: the flags of the version
	Image                []byte      // as stored: maybe compressed, hole taken out
	Data                 []byte      // data belonging to the block
}

// Clone copies a record with everything it points to.
func (r *Record) Clone() *Record {
	c := *r
	c.Raw = append([]byte(nil), r.Raw...)
	c.Main = append([]byte(nil), r.Main...)
	c.Blocks = append([]Block(nil), r.Blocks...)
	for i := range c.Blocks {
		b := &c.Blocks[i]
		b.Image = append([]byte(nil), b.Image...)
		b.Data = append([]byte(nil), b.Data...)
	}
	return &c
}

// isSwitch tells whether the rest of the segment is unused.
func (r *Record) isSwitch() bool { return r.Rmgr == RmgrXLOG && r.Op() == XLOGSwitch }

// overwritten is the start of the record whose missing rest r stands for, 0 if
// r is no XLOG_OVERWRITE_CONTRECORD (src/include/access/xlog_internal.h,
// xl_overwrite_contrecord).
func (r *Record) overwritten() core.LSN {
	if r.Rmgr != RmgrXLOG || r.Op() != XLOGOverwriteContrecord || len(r.Main) < 8 {
		return 0
	}
	return core.LSN(binary.LittleEndian.Uint64(r.Main))
}
