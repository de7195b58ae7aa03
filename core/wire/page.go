package wire

import (
	"fmt"

	"xenon/core"
)

// A PageKind tells the requests of the page service apart, and the answers:
// an answer's tag is the request's plus 100.
type PageKind uint8

// The kinds of pagestream v3, by the tag of the request
// (neondatabase/neon:libs/pageserver_api/src/pagestream_api.rs).
const (
	PageExists      PageKind = 0 // does a relation's fork exist
	PageBlocks      PageKind = 1 // its size in blocks
	PageGet         PageKind = 2 // one page
	PageDBSize      PageKind = 3 // bytes of a database in the default tablespace
	PageSLRUSegment PageKind = 4 // all pages of one SLRU segment

	// PageError is only an answer: the request failed, Message says why, and
	// the stream goes on.
	PageError PageKind = 255
)

const (
	pageReplyTag = 100
	pageErrorTag = 103
	pageHeadSize = 1 + 3*8
	relSize      = 13
)

func (k PageKind) String() string {
	switch k {
	case PageExists:
		return "exists"
	case PageBlocks:
		return "nblocks"
	case PageGet:
		return "getpage"
	case PageDBSize:
		return "dbsize"
	case PageSLRUSegment:
		return "slrusegment"
	case PageError:
		return "error"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// The wire has the tags 100 to 102, 103 for an error, 104 and 105.
func (k PageKind) replyTag() byte {
	switch k {
	case PageError:
		return pageErrorTag
	case PageDBSize, PageSLRUSegment:
		return pageReplyTag + 1 + byte(k)
	}
	return pageReplyTag + byte(k)
}

// A PageRequest asks for something as of an LSN. Fields that its Kind does not
// use are zero.
type PageRequest struct {
	Kind PageKind
	ID   uint64 // echoed by the answer

	// The answer is as of LSN. The asker vouches that what it asks for was not
	// modified in (NotModifiedSince, LSN], so any moment between is as good.
	LSN, NotModifiedSince core.LSN

	Rel     core.Rel // Exists, Blocks, Get; DBSize uses DB alone
	Block   uint32   // Get
	SLRU    core.SLRU
	Segment uint32 // of the SLRU
}

// Append encodes r behind dst.
func (r *PageRequest) Append(dst []byte) []byte {
	dst = r.appendHead(append(dst, byte(r.Kind)))
	return r.appendTarget(dst)
}

func (r *PageRequest) appendHead(dst []byte) []byte {
	dst = be.AppendUint64(dst, r.ID)
	dst = be.AppendUint64(dst, uint64(r.LSN))
	return be.AppendUint64(dst, uint64(r.NotModifiedSince))
}

func (r *PageRequest) appendTarget(dst []byte) []byte {
	switch r.Kind {
	case PageExists, PageBlocks:
		return appendRel(dst, r.Rel)
	case PageGet:
		return be.AppendUint32(appendRel(dst, r.Rel), r.Block)
	case PageDBSize:
		return be.AppendUint32(dst, uint32(r.Rel.DB))
	case PageSLRUSegment:
		return be.AppendUint32(append(dst, byte(r.SLRU)), r.Segment)
	}
	return dst
}

func appendRel(dst []byte, r core.Rel) []byte {
	dst = be.AppendUint32(dst, uint32(r.Spc))
	dst = be.AppendUint32(dst, uint32(r.DB))
	dst = be.AppendUint32(dst, uint32(r.Node))
	return append(dst, byte(r.Fork))
}

// DecodePageRequest reads one CopyData body of a client.
func DecodePageRequest(b []byte) (r PageRequest, err error) {
	d := decoder{b: b}
	r.Kind = PageKind(d.u8())
	if r.Kind > PageSLRUSegment {
		return r, Errorf(CodeProtocol, "page request: unknown tag %d", uint8(r.Kind))
	}
	r.decodeHead(&d)
	r.decodeTarget(&d)
	return r, d.done("page request " + r.Kind.String())
}

func (r *PageRequest) decodeHead(d *decoder) {
	r.ID = d.u64()
	r.LSN, r.NotModifiedSince = d.lsn(), d.lsn()
}

func (r *PageRequest) decodeTarget(d *decoder) {
	switch r.Kind {
	case PageExists, PageBlocks:
		r.Rel = d.rel()
	case PageGet:
		r.Rel = d.rel()
		r.Block = d.u32()
	case PageDBSize:
		r.Rel.DB = core.OID(d.u32())
	case PageSLRUSegment:
		r.SLRU = core.SLRU(d.u8())
		r.Segment = d.u32()
	}
}

// A PageReply answers a PageRequest, which it repeats so that the asker can
// see that the answer is its own. An error has only the request's ID and LSNs.
type PageReply struct {
	Request PageRequest // of the Kind that was asked; PageError for an error
	Exists  bool        // Exists
	Blocks  uint32      // Blocks; SLRUSegment: pages in Pages
	Bytes   int64       // DBSize
	Pages   []byte      // Get: one page; SLRUSegment: Blocks pages
	Message string      // Error
}

// AppendHead encodes everything of r but Pages, which follow on the wire: so a
// page is sent without being copied (see [Conn.CopyData]).
func (r *PageReply) AppendHead(dst []byte) []byte {
	dst = r.Request.appendHead(append(dst, r.Request.Kind.replyTag()))
	dst = r.Request.appendTarget(dst)
	switch r.Request.Kind {
	case PageExists:
		b := byte(0)
		if r.Exists {
			b = 1
		}
		dst = append(dst, b)
	case PageBlocks, PageSLRUSegment:
		dst = be.AppendUint32(dst, r.Blocks)
	case PageDBSize:
		dst = be.AppendUint64(dst, uint64(r.Bytes))
	case PageError:
		dst = append(append(dst, clean(r.Message)...), 0)
	}
	return dst
}

// DecodePageReply reads one CopyData body of a page service. Pages points
// into b.
func DecodePageReply(b []byte) (r PageReply, err error) {
	d := decoder{b: b}
	tag := d.u8()
	switch {
	case tag == pageErrorTag:
		r.Request.Kind = PageError
	case tag == 104 || tag == 105:
		r.Request.Kind = PageKind(tag - pageReplyTag - 1)
	case tag >= pageReplyTag && tag < pageErrorTag:
		r.Request.Kind = PageKind(tag - pageReplyTag)
	default:
		return r, Errorf(CodeProtocol, "page reply: unknown tag %d", tag)
	}
	r.Request.decodeHead(&d)
	r.Request.decodeTarget(&d)
	switch r.Request.Kind {
	case PageExists:
		r.Exists = d.u8() != 0
	case PageBlocks:
		r.Blocks = d.u32()
	case PageGet:
		r.Pages = d.bytes(core.PageSize)
	case PageDBSize:
		r.Bytes = int64(d.u64())
	case PageSLRUSegment:
		r.Blocks = d.u32()
		if r.Blocks > core.SLRUSegmentPages {
			return r, Errorf(CodeProtocol, "page reply slrusegment: %d pages, a segment has at most %d", r.Blocks, core.SLRUSegmentPages)
		}
		r.Pages = d.bytes(int(r.Blocks) * core.PageSize)
	case PageError:
		r.Message = d.str()
	}
	return r, d.done("page reply " + r.Request.Kind.String())
}
