package core

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// An LSN is a position in a WAL: the byte offset from the beginning of time
// (src/include/access/xlogdefs.h, XLogRecPtr). Zero is no position.
type LSN uint64

const (
	// WALPageSize is XLOG_BLCKSZ, the bytes of one WAL page.
	WALPageSize = 8192
	// PageSize is BLCKSZ, the bytes of one page of a relation.
	PageSize = 8192
	// DefaultSegmentSize is wal_segment_size as initdb chooses it.
	DefaultSegmentSize = 16 << 20
)

// String is PostgreSQL's text form, X/Y in upper-case hexadecimal.
func (l LSN) String() string {
	var b [17]byte
	return string(appendHex(append(appendHex(b[:0], uint32(l>>32), 1), '/'), uint32(l), 1))
}

// appendHex appends v in upper-case hexadecimal, with least digits or more.
func appendHex(b []byte, v uint32, least int) []byte {
	n := max(least, (bits.Len32(v)+3)/4)
	for shift := 4 * (n - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789ABCDEF"[v>>shift&15])
	}
	return b
}

// ParseLSN reads PostgreSQL's text form X/Y.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	if !ok {
		return 0, fmt.Errorf("LSN %q: want the form 0/16B3748", s)
	}
	h, err := strconv.ParseUint(hi, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("LSN %q: want the form 0/16B3748", s)
	}
	l, err := strconv.ParseUint(lo, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("LSN %q: want the form 0/16B3748", s)
	}
	return LSN(h<<32 | l), nil
}

// MarshalText makes an LSN a string in JSON and TOML.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *LSN) UnmarshalText(b []byte) error {
	v, err := ParseLSN(string(b))
	if err != nil {
		return err
	}
	*l = v
	return nil
}

// Align rounds l up to 8, MAXALIGN, where every WAL record begins.
func (l LSN) Align() LSN { return (l + 7) &^ 7 }

// Segment is the number of the WAL segment of segSize bytes that holds l.
func (l LSN) Segment(segSize uint32) uint64 { return uint64(l) / uint64(segSize) }

// SegmentOffset is the offset of l in its segment of segSize bytes.
func (l LSN) SegmentOffset(segSize uint32) uint32 { return uint32(uint64(l) % uint64(segSize)) }

// SegmentStart is the LSN at which segment number seg of segSize bytes begins.
func SegmentStart(seg uint64, segSize uint32) LSN { return LSN(seg * uint64(segSize)) }

// SegmentName is the file name of segment number seg on PostgreSQL timeline
// tli (src/include/access/xlog_internal.h, XLogFileName).
func SegmentName(tli uint32, seg uint64, segSize uint32) string {
	perID := uint64(1<<32) / uint64(segSize)
	var b [24]byte
	return string(appendHex(appendHex(appendHex(b[:0], tli, 8), uint32(seg/perID), 8), uint32(seg%perID), 8))
}

// ParseSegmentName is the inverse of [SegmentName]; ok is false for any other
// file name.
func ParseSegmentName(name string, segSize uint32) (tli uint32, seg uint64, ok bool) {
	if len(name) != 24 || strings.ToUpper(name) != name {
		return 0, 0, false
	}
	var part [3]uint64
	for i := range part {
		v, err := strconv.ParseUint(name[8*i:8*i+8], 16, 32)
		if err != nil {
			return 0, 0, false
		}
		part[i] = v
	}
	perID := uint64(1<<32) / uint64(segSize)
	if part[2] >= perID {
		return 0, 0, false
	}
	return uint32(part[0]), part[1]*perID + part[2], true
}
