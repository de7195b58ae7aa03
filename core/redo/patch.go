package redo

import (
	"fmt"
	"strings"

	"xenon/core"
)

// A Patch is a change of part of one page that no WAL record spells out as a
// block: a list of small operations, encoded. It is stored as it is and
// applied to the page's previous version, like a record. It moves no page LSN.
//
// Encoding, little endian, one or more operations of one byte and a body:
//
//	1 zero         page becomes zeroes; only as the first operation
//	2 vm clear     u16 heap block mod 32672, u8 bits (1 all-visible, 2 all-frozen)
//	3 vm truncate  u16 heap blocks kept on this page
//	4 clog         u8 status, u16 n, n × u16 xid mod 32768
//	5 multi offset u16 multixact mod 2048, u32 offset
//	6 multi member u16 member mod 1636, u8 status, u32 xid
//	7 commit ts    i64 time, u16 origin, u16 n, n × u16 xid mod 819
type Patch []byte

const (
	opZero        = 1
	opVMClear     = 2
	opVMTruncate  = 3
	opClog        = 4
	opMultiOffset = 5
	opMultiMember = 6
	opCommitTs    = 7
)

// Init tells whether the patch makes the page from nothing.
func (p Patch) Init() bool { return len(p) > 0 && p[0] == opZero }

// Check tells whether the patch is well formed, with the errors of Apply.
func (p Patch) Check() error {
	return p.walk(func(patchOp) {})
}

// Apply changes page. The error is [ErrMalformed] wrapped with the place; the
// page is then undefined. It allocates nothing.
func (p Patch) Apply(page *Page) error {
	for rest, first := []byte(p), true; len(rest) > 0 || first; first = false {
		op, n, err := readOp(rest, first)
		if err != nil {
			return fmt.Errorf("patch, byte %d: %w", len(p)-len(rest), err)
		}
		op.apply(page)
		rest = rest[n:]
	}
	return nil
}

// String lists the operations.
func (p Patch) String() string {
	var s []string
	if err := p.walk(func(op patchOp) { s = append(s, op.String()) }); err != nil {
		s = append(s, err.Error())
	}
	return strings.Join(s, "; ")
}

func (p Patch) walk(visit func(patchOp)) error {
	for rest, first := []byte(p), true; len(rest) > 0 || first; first = false {
		op, n, err := readOp(rest, first)
		if err != nil {
			return fmt.Errorf("patch, byte %d: %w", len(p)-len(rest), err)
		}
		visit(op)
		rest = rest[n:]
	}
	return nil
}

// A patchOp is one operation with its list of indices; everything in it was
// checked by readOp.
type patchOp struct {
	code  byte
	index uint16
	bits  uint8 // vm bits, transaction status, member status
	value uint32
	time  uint64
	list  []byte // u16 indices
}

// bodySize is the fixed part of each operation after its code.
var bodySize = [...]int{opZero: 0, opVMClear: 3, opVMTruncate: 2, opClog: 3, opMultiOffset: 6, opMultiMember: 7, opCommitTs: 12}

// readOp reads the operation at the start of b and its length.
func readOp(b []byte, first bool) (op patchOp, n int, err error) {
	if len(b) == 0 || b[0] == 0 || int(b[0]) >= len(bodySize) {
		return op, 0, fmt.Errorf("%w: no operation known", ErrMalformed)
	}
	op.code = b[0]
	n = 1 + bodySize[op.code]
	if len(b) < n {
		return op, 0, fmt.Errorf("%w: operation %d cut short", ErrMalformed, op.code)
	}
	body := b[1:n]
	indices, limit := 0, uint16(0) // of the list
	switch op.code {
	case opZero:
		if !first {
			return op, 0, fmt.Errorf("%w: page made of zeroes after a change", ErrMalformed)
		}
	case opVMClear:
		op.index, op.bits = u16(body, 0), body[2]
		err = below(op.index, heapBlocksPerVMPage)
	case opVMTruncate:
		op.index = u16(body, 0)
		err = below(op.index, heapBlocksPerVMPage)
	case opClog:
		op.bits, indices, limit = body[0], int(u16(body, 1)), xactsPerClogPage
		if op.bits > 3 {
			err = fmt.Errorf("%w: transaction status %d", ErrMalformed, op.bits)
		}
	case opMultiOffset:
		op.index, op.value = u16(body, 0), u32(body, 2)
		err = below(op.index, multisPerOffsetsPage)
	case opMultiMember:
		op.index, op.bits, op.value = u16(body, 0), body[2], u32(body, 3)
		err = below(op.index, membersPerPage)
	case opCommitTs:
		op.time, op.value = u64(body, 0), uint32(u16(body, 8))
		indices, limit = int(u16(body, 10)), commitTsPerPage
	}
	if err != nil {
		return op, 0, err
	}
	if len(b) < n+2*indices {
		return op, 0, fmt.Errorf("%w: list of operation %d cut short", ErrMalformed, op.code)
	}
	op.list = b[n : n+2*indices]
	for i := 0; i < indices; i++ {
		if err := below(u16(op.list, 2*i), limit); err != nil {
			return op, 0, err
		}
	}
	return op, n + 2*indices, nil
}

func below(index, limit uint16) error {
	if index >= limit {
		return fmt.Errorf("%w: index %d, page has %d", ErrMalformed, index, limit)
	}
	return nil
}

func (op *patchOp) apply(p *Page) {
	switch op.code {
	case opZero:
		clear(p[:])
	case opVMClear:
		clearVMBits(p, int(op.index), op.bits)
	case opVMTruncate:
		truncateVMPage(p, int(op.index))
	case opClog:
		for i := 0; i < len(op.list); i += 2 {
			setClogStatus(p, int(u16(op.list, i)), op.bits)
		}
	case opMultiOffset:
		put32(p[:], 4*int(op.index), op.value)
	case opMultiMember:
		setMember(p, int(op.index), op.bits, op.value)
	case opCommitTs:
		for i := 0; i < len(op.list); i += 2 {
			setCommitTs(p, int(u16(op.list, i)), op.time, uint16(op.value))
		}
	}
}

func (op patchOp) String() string {
	switch op.code {
	case opZero:
		return "zero"
	case opVMClear:
		return fmt.Sprintf("vm clear %d bits %d", op.index, op.bits)
	case opVMTruncate:
		return fmt.Sprintf("vm truncate %d", op.index)
	case opClog:
		return fmt.Sprintf("clog status %d%s", op.bits, indexList(op.list))
	case opMultiOffset:
		return fmt.Sprintf("multi offset %d = %d", op.index, op.value)
	case opMultiMember:
		return fmt.Sprintf("multi member %d = %d status %d", op.index, op.value, op.bits)
	}
	return fmt.Sprintf("commit ts %d origin %d%s", int64(op.time), op.value, indexList(op.list))
}

func indexList(list []byte) string {
	var s strings.Builder
	for i := 0; i < len(list); i += 2 {
		fmt.Fprintf(&s, " %d", u16(list, i))
	}
	return s.String()
}

// The geometry of the pages that patches change.
const (
	// heapBlocksPerVMPage is HEAPBLOCKS_PER_PAGE
	// (src/backend/access/heap/visibilitymap.c): 4 blocks a byte after the header.
	heapBlocksPerVMPage = (core.PageSize - headerSize) * 4
	// xactsPerClogPage is CLOG_XACTS_PER_PAGE (src/backend/access/transam/clog.c).
	xactsPerClogPage = core.PageSize * 4
	// multisPerOffsetsPage is MULTIXACT_OFFSETS_PER_PAGE
	// (src/backend/access/transam/multixact.c).
	multisPerOffsetsPage = core.PageSize / 4
	// membersPerPage is MULTIXACT_MEMBERS_PER_PAGE: groups of 4 flag bytes and
	// 4 xids.
	membersPerPage  = core.PageSize / memberGroupSize * 4
	memberGroupSize = 20
	// commitTsPerPage is COMMIT_TS_XACTS_PER_PAGE
	// (src/backend/access/transam/commit_ts.c), entries of 10 bytes.
	commitTsPerPage = core.PageSize / commitTsSize
	commitTsSize    = 10
)
