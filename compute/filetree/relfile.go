package filetree

import (
	"strconv"
	"strings"

	"xenon/core"
)

// SegmentBlocks is RELSEG_SIZE, the blocks of one file of a relation
// (src/include/pg_config.h).
const SegmentBlocks = 131072

// A RelFile is the name of a file of a relation: the fork's segment number
// Segment, of SegmentBlocks blocks.
type RelFile struct {
	Node    core.OID
	Fork    core.Fork
	Segment uint32
}

// ParseRelFile reads the name of a relation's file below its database's
// directory (src/common/relpath.c): 16384, 16384_vm, 16384.1. ok is false for
// all other names, among them those of temporary relations, t3_16384.
func ParseRelFile(name string) (f RelFile, ok bool) {
	name, seg, segmented := strings.Cut(name, ".")
	if segmented {
		n, ok := parseNumber(seg)
		if !ok || n == 0 {
			return RelFile{}, false
		}
		f.Segment = n
	}
	name, fork, forked := strings.Cut(name, "_")
	if forked {
		var err error
		if f.Fork, err = core.ParseFork(fork); err != nil || f.Fork == core.MainFork {
			return RelFile{}, false
		}
	}
	n, ok := parseNumber(name)
	if !ok || n == 0 {
		return RelFile{}, false
	}
	f.Node = core.OID(n)
	return f, true
}

// String is the file's name.
func (f RelFile) String() string {
	s := strconv.FormatUint(uint64(f.Node), 10)
	if f.Fork != core.MainFork {
		s += "_" + f.Fork.String()
	}
	if f.Segment > 0 {
		s += "." + strconv.FormatUint(uint64(f.Segment), 10)
	}
	return s
}

// parseNumber reads a decimal number as PostgreSQL prints one: no sign, no
// leading zero.
func parseNumber(s string) (uint32, bool) {
	if s == "" || s[0] == '0' && len(s) > 1 || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}
