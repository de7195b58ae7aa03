package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// Opcodes of resource manager Transaction, after masking with XactOpMask
// (src/include/access/xact.h).
const (
	XactCommit         = 0x00
	XactPrepare        = 0x10
	XactAbort          = 0x20
	XactCommitPrepared = 0x30
	XactAbortPrepared  = 0x40
	XactAssignment     = 0x50
	XactInvalidations  = 0x60

	// XactOpMask is XLOG_XACT_OPMASK.
	XactOpMask = 0x70

	xactHasInfo = 0x80 // XLOG_XACT_HAS_INFO
)

// The bits of xl_xact_xinfo: which parts a commit or abort has.
const (
	xinfoDB           = 1 << 0
	xinfoSubXIDs      = 1 << 1
	xinfoRels         = 1 << 2
	xinfoInvals       = 1 << 3
	xinfoTwoPhase     = 1 << 4
	xinfoOrigin       = 1 << 5
	xinfoAELocks      = 1 << 6 // no part of its own
	xinfoGID          = 1 << 7
	xinfoDroppedStats = 1 << 8 // since 15

	// Completion bits: no parts either. apply feedback, update of the relation
	// cache file, forced synchronous commit.
	xinfoCompletion = 7 << 29
)

// TwoPhaseMagic is TWOPHASE_MAGIC (src/backend/access/transam/twophase.c).
const TwoPhaseMagic = 0x57F94534

const (
	relFileNodeSize  = 12
	invalMessageSize = 16 // sizeof(SharedInvalidationMessage)
)

// An xactLayout is what versions do not agree on in the records of this manager.
type xactLayout struct {
	parts   uint32 // the bits of xl_xact_xinfo that name parts
	stat    int    // sizeof(xl_xact_stats_item); 0: there are none
	prepare int    // sizeof(xl_xact_prepare)
}

var (
	xact14 = xactLayout{parts: xinfoDroppedStats - 1, prepare: 64}
	xact15 = xactLayout{parts: xinfoDroppedStats<<1 - 1, stat: 12, prepare: 72}
	// 18 made the object id of statistics 64 bits long.
	xact18 = xactLayout{parts: xinfoDroppedStats<<1 - 1, stat: 16, prepare: 72}
)

// An Xact is a decoded record of resource manager Transaction. Which fields are
// set depends on Op and on the transaction.
type Xact struct {
	Op uint8 // XactCommit …
	// XID is the transaction that ends: the record's, or that which was
	// prepared. For an assignment it is the top-level one.
	XID     uint32
	Time    int64 // of commit, abort or prepare: microseconds since 2000-01-01
	DB, Spc core.OID
	SubXIDs []uint32
	// Rels are the relations dropped: all their forks. Of a PREPARE those
	// dropped if it commits; AbortRels those if it aborts.
	Rels, AbortRels []core.Rel
	DroppedStats    int    // how many statistics entries are dropped
	Invals          int    // how many invalidation messages there are
	GID             string // of a prepared transaction, if known
	// OriginLSN and OriginTime are the remote end of the transaction, if it
	// came from a replication origin.
	HasOrigin        bool
	OriginLSN        core.LSN
	OriginTime       int64
	RelCacheInitFile bool // the file pg_internal.init is to be removed
}

// ParseXact decodes a record of resource manager Transaction into x, whose
// slices are used again: it allocates nothing but the name of a prepared
// transaction. The error is an [*InvalidError].
func ParseXact(r *Record, x *Xact) error {
	if r.Rmgr != RmgrXact { // guarded: arguments of Must are allocated
		core.Must(false, "record %s is no transaction's", r.Name())
	}
	*x = Xact{Op: r.Info & XactOpMask, XID: r.XID, SubXIDs: x.SubXIDs[:0], Rels: x.Rels[:0], AbortRels: x.AbortRels[:0]}
	p := xactParser{layout: &r.Version.orDefault().xact, b: r.Main, x: x}
	if faults.On && faults.Hit(faults.XactsOf15) {
		p.layout = &xact15
	}
	switch x.Op {
	case XactCommit, XactCommitPrepared, XactAbort, XactAbortPrepared:
		p.end(r.Info)
	case XactPrepare:
		p.prepare()
	case XactAssignment:
		x.XID = p.u32()
		p.subXIDs()
	case XactInvalidations:
		p.invals()
	default:
		return invalid(BadContent, r.Start, "unknown transaction record %02X", r.Info)
	}
	if p.wrong != "" {
		return invalid(BadContent, r.Start, "%s: %s", r.Name(), p.wrong)
	}
	return nil
}

// An xactParser reads parts one after the other; once something is wrong, the
// rest reads as zeroes.
type xactParser struct {
	layout *xactLayout
	b      []byte
	x      *Xact
	wrong  string
}

func (p *xactParser) fail(format string, args ...any) {
	if p.wrong == "" {
		p.wrong = fmt.Sprintf(format, args...)
	}
	p.b = nil
}

func (p *xactParser) take(n int) []byte {
	if n > len(p.b) {
		p.fail("%d bytes left where %d are needed", len(p.b), n)
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

func (p *xactParser) u32() uint32 {
	if b := p.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (p *xactParser) u64() uint64 {
	if b := p.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// list takes n elements; n comes from the record and may be anything.
func (p *xactParser) list(n uint32, size int) []byte {
	if uint64(n)*uint64(size) > uint64(len(p.b)) {
		p.fail("%d elements of %d bytes, %d bytes left", n, size, len(p.b))
		return nil
	}
	return p.take(int(n) * size)
}

// end reads xl_xact_commit and xl_xact_abort with what follows them. The parts
// and their order are the same, but an abort has no messages.
func (p *xactParser) end(info uint8) {
	x := p.x
	commit := x.Op == XactCommit || x.Op == XactCommitPrepared
	x.Time = int64(p.u64())
	var parts uint32
	if info&xactHasInfo != 0 {
		parts = p.u32()
	}
	if unknown := parts &^ (p.layout.parts | xinfoCompletion); unknown != 0 {
		p.fail("unknown parts %08X", unknown)
		return
	}
	x.RelCacheInitFile = parts&(1<<30) != 0
	if parts&xinfoDB != 0 {
		x.DB, x.Spc = core.OID(p.u32()), core.OID(p.u32())
	}
	if parts&xinfoSubXIDs != 0 {
		p.subXIDs()
	}
	if parts&xinfoRels != 0 {
		x.Rels = p.rels(x.Rels, p.u32())
	}
	if parts&xinfoDroppedStats != 0 {
		x.DroppedStats = p.stats(p.u32())
	}
	if parts&xinfoInvals != 0 && commit {
		x.Invals = len(p.list(p.u32(), invalMessageSize)) / invalMessageSize
	}
	if parts&xinfoTwoPhase != 0 {
		x.XID = p.u32()
		if parts&xinfoGID != 0 {
			p.gid()
		}
	}
	if parts&xinfoOrigin != 0 {
		x.HasOrigin, x.OriginLSN, x.OriginTime = true, core.LSN(p.u64()), int64(p.u64())
	}
}

func (p *xactParser) gid() {
	n := bytes.IndexByte(p.b, 0)
	if n < 0 {
		p.fail("name of the prepared transaction without an end")
		return
	}
	p.x.GID = string(p.take(n + 1)[:n])
}

func (p *xactParser) subXIDs() { p.appendXIDs(p.u32()) }

func (p *xactParser) appendXIDs(n uint32) {
	for b := p.list(n, 4); len(b) > 0; b = b[4:] {
		p.x.SubXIDs = append(p.x.SubXIDs, binary.LittleEndian.Uint32(b))
	}
}

func (p *xactParser) rels(dst []core.Rel, n uint32) []core.Rel {
	le := binary.LittleEndian
	for b := p.list(n, relFileNodeSize); len(b) > 0; b = b[relFileNodeSize:] {
		dst = append(dst, core.Rel{
			Spc: core.OID(le.Uint32(b)), DB: core.OID(le.Uint32(b[4:])), Node: core.OID(le.Uint32(b[8:]))})
	}
	return dst
}

// stats takes n dropped statistics.
func (p *xactParser) stats(n uint32) int {
	if n > 0 && p.layout.stat == 0 {
		p.fail("%d dropped statistics in a version without them", n)
		return 0
	}
	return len(p.list(n, p.layout.stat)) / max(p.layout.stat, 1)
}

func (p *xactParser) invals() {
	p.x.Invals = len(p.list(p.u32(), invalMessageSize)) / invalMessageSize
}

// prepare reads a two-phase state file without its checksum: xl_xact_prepare,
// then the parts it counts, each aligned to 8, then what other managers keep,
// which is not read.
func (p *xactParser) prepare() {
	le, x, whole := binary.LittleEndian, p.x, len(p.b)
	h := p.take(p.layout.prepare)
	if h == nil {
		return
	}
	if m := le.Uint32(h); m != TwoPhaseMagic {
		p.fail("magic %08X, want %08X", m, TwoPhaseMagic)
		return
	}
	x.XID, x.DB, x.Time = le.Uint32(h[8:]), core.OID(le.Uint32(h[12:])), int64(le.Uint64(h[16:]))
	var ifCommitted, ifAborted uint32 // statistics dropped
	rest := h[40:]
	if p.layout.stat > 0 {
		ifCommitted, ifAborted, rest = le.Uint32(rest), le.Uint32(rest[4:]), rest[8:]
	}
	x.RelCacheInitFile = rest[4] != 0
	x.OriginLSN, x.OriginTime = core.LSN(le.Uint64(rest[8:])), int64(le.Uint64(rest[16:]))
	x.HasOrigin = x.OriginLSN != 0
	align := func() { p.take(-(whole - len(p.b)) & 7) }

	x.GID = string(bytes.TrimRight(p.take(int(le.Uint16(rest[6:]))), "\x00"))
	align()
	p.appendXIDs(le.Uint32(h[28:]))
	align()
	x.Rels = p.rels(x.Rels, le.Uint32(h[32:]))
	align()
	x.AbortRels = p.rels(x.AbortRels, le.Uint32(h[36:]))
	align()
	x.DroppedStats = p.stats(ifCommitted)
	align()
	p.stats(ifAborted)
	align()
	x.Invals = len(p.list(le.Uint32(rest), invalMessageSize)) / invalMessageSize
}

// TwoPhaseName is the name below pg_twophase of a transaction that was prepared
// when the next transaction id was at most nextXID (a FullTransactionId: since 17
// the name has the epoch that it tells; TwoPhaseFilePath in twophase.c).
func (v *Version) TwoPhaseName(xid uint32, nextXID uint64) string {
	if !v.orDefault().twoPhaseEpoch {
		return fmt.Sprintf("%08X", xid)
	}
	epoch := uint32(nextXID >> 32)
	if xid > uint32(nextXID) && epoch > 0 {
		epoch--
	}
	return fmt.Sprintf("%08X%08X", epoch, xid)
}

// TwoPhaseFile is the file below pg_twophase that a PREPARE record with this
// main data makes: the data and its checksum
// (src/backend/access/transam/twophase.c, EndPrepare).
func TwoPhaseFile(main []byte) []byte {
	b := append(make([]byte, 0, len(main)+4), main...)
	return binary.LittleEndian.AppendUint32(b, crcOf(b))
}
