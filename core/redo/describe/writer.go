package describe

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"xenon/core"
)

// A writer appends fields to b: as name=value with spaces between them, or as
// the members of a JSON object. Its memory is used again: a description of a
// record allocates nothing in the long run.
type writer struct {
	b    []byte
	json bool
	open bool // the next member or element comes first
}

func (w *writer) str(s string) { w.b = append(w.b, s...) }

// sep separates from what came before.
func (w *writer) sep() {
	switch {
	case w.open || len(w.b) == 0:
		w.open = false
	case w.json:
		w.b = append(w.b, ',')
	default:
		w.b = append(w.b, ' ')
	}
}

// key begins a member.
func (w *writer) key(name string) {
	w.sep()
	if w.json {
		w.b = append(append(append(w.b, '"'), name...), `":`...)
		return
	}
	w.b = append(append(w.b, name...), '=')
}

// begin and end are the brackets of an object or array.
func (w *writer) begin(c byte) { w.b, w.open = append(w.b, c), true }
func (w *writer) end(c byte)   { w.b, w.open = append(w.b, c), false }

func (w *writer) uint(v uint64) { w.b = strconv.AppendUint(w.b, v, 10) }

// quoted is a string value; in text it is quoted only if it would be unclear.
func (w *writer) quoted(s string) {
	if !w.json && plain(s) {
		w.str(s)
		return
	}
	w.b = appendJSONString(w.b, s)
}

// plain tells whether a string can stand without quotes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '[' || c == ']' {
			return false
		}
	}
	return s != ""
}

// appendJSONString appends s as JSON; bytes that are no UTF-8 become U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7F:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// text, num, hex and lsn write a whole member.
func (w *writer) text(name, s string)       { w.key(name); w.quoted(s) }
func (w *writer) num(name string, v uint64) { w.key(name); w.uint(v) }
func (w *writer) lsn(name string, l core.LSN) {
	w.key(name)
	w.putLSN(l)
}

func (w *writer) quote() {
	if w.json {
		w.b = append(w.b, '"')
	}
}

func (w *writer) putLSN(l core.LSN) {
	w.quote()
	w.b = appendLSN(w.b, l)
	w.quote()
}

// appendLSN is core.LSN.String without an allocation.
func appendLSN(dst []byte, l core.LSN) []byte {
	dst = appendUpperHex(dst, uint32(l>>32))
	dst = append(dst, '/')
	return appendUpperHex(dst, uint32(l))
}

func appendUpperHex(dst []byte, v uint32) []byte {
	const digits = "0123456789ABCDEF"
	shift := 28
	for shift > 0 && v>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[v>>shift&15])
	}
	return dst
}

// rel writes a relation with its fork.
func (w *writer) rel(r core.Rel) {
	w.quote()
	w.uint(uint64(r.Spc))
	w.b = append(w.b, '/')
	w.uint(uint64(r.DB))
	w.b = append(w.b, '/')
	w.uint(uint64(r.Node))
	if r.Fork != core.MainFork {
		w.b = append(w.b, '_')
		w.str(r.Fork.String())
	}
	w.quote()
}

// pgEpoch is 2000-01-01 in seconds since 1970.
const pgEpoch = 946684800

// stamp is a time in UTC, to the microsecond.
func (w *writer) stamp(sec, micros int64) {
	w.quote()
	w.b = time.Unix(sec, micros*1000).UTC().AppendFormat(w.b, "2006-01-02T15:04:05.999999Z")
	w.quote()
}

func (w *writer) tid(b []byte) {
	w.quote()
	w.b = append(w.b, '(')
	w.uint(uint64(blkID(b)))
	w.b = append(w.b, ',')
	w.uint(uint64(u16(b, 4)))
	w.b = append(w.b, ')')
	w.quote()
}

// blkID is a BlockIdData: two halves, the high one first.
func blkID(b []byte) uint32 { return uint32(u16(b, 0))<<16 | uint32(u16(b, 2)) }

// flags writes the names of the bits that are set; bits without one as a number.
func (w *writer) flags(v uint64, names []string) {
	if w.json {
		w.begin('[')
	}
	if v == 0 && !w.json {
		w.b = append(w.b, '0')
	}
	left, first := v, true
	name := func(s string, hex uint64) {
		if w.json {
			w.sep()
		} else if !first {
			w.b = append(w.b, '|')
		}
		first = false
		w.quote()
		if w.str(s); s == "" {
			w.b = appendHex(w.b, hex)
		}
		w.quote()
	}
	for i, n := range names {
		if bit := uint64(1) << i; v&bit != 0 && n != "" {
			name(n, 0)
			left &^= bit
		}
	}
	if left != 0 {
		name("", left)
	}
	if w.json {
		w.end(']')
	}
}

// field writes the value of a field.
func (w *writer) field(f field, b []byte) {
	switch f.kind {
	case kBool:
		w.b = strconv.AppendBool(w.b, b[0] != 0)
	case kI32:
		w.b = strconv.AppendInt(w.b, int64(int32(u32(b, 0))), 10)
	case kF64:
		w.float(math.Float64frombits(number(b)))
	case kLSN:
		w.putLSN(core.LSN(number(b)))
	case kPageLSN:
		w.putLSN(core.LSN(u32(b, 0))<<32 | core.LSN(u32(b, 4)))
	case kTime:
		us := int64(number(b))
		w.stamp(pgEpoch+us/1e6, us%1e6)
	case kUnix:
		w.stamp(int64(number(b)), 0)
	case kRel:
		w.rel(relOf(b))
	case kTID:
		w.tid(b)
	case kBlkID:
		w.uint(uint64(blkID(b)))
	case kText:
		w.quoted(cString(b))
	case kFlags:
		w.flags(number(b), f.names)
	case kEnum:
		if v := number(b); v < uint64(len(f.names)) {
			w.quoted(f.names[v])
		} else {
			w.uint(v)
		}
	default:
		w.uint(number(b))
	}
}

func (w *writer) float(v float64) {
	if w.json && (math.IsNaN(v) || math.IsInf(v, 0)) {
		w.str("null")
		return
	}
	w.b = strconv.AppendFloat(w.b, v, 'g', -1, 64)
}

func relOf(b []byte) core.Rel {
	return core.Rel{Spc: core.OID(u32(b, 0)), DB: core.OID(u32(b, 4)), Node: core.OID(u32(b, 8))}
}

// cString is what stands before the first zero.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

var le = binary.LittleEndian
