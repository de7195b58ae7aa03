package describe

import (
	"encoding/binary"
	"math"
	"math/bits"
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
	line int  // where in b the line begins

	second   []byte // secondOf in words, without its end
	secondOf int64  // since 1970
}

// reset begins anew.
func (w *writer) reset(json bool) { w.begins(w.b[:0], json) }

// begins begins anew behind what is in dst.
func (w *writer) begins(dst []byte, json bool) {
	w.b, w.line, w.json, w.open = dst, len(dst), json, false
}

func (w *writer) str(s string) { w.b = append(w.b, s...) }

// sep separates from what came before.
func (w *writer) sep() {
	switch {
	case w.open || len(w.b) == w.line:
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

// uint writes a number, four digits at a time: most have no more than eight.
func (w *writer) uint(v uint64) {
	switch {
	case v < 10:
		w.b = append(w.b, '0'+byte(v))
	case v < 100:
		w.b = append(w.b, '0'+byte(v/10), '0'+byte(v%10))
	case v < 1000:
		w.b = append(w.b, '0'+byte(v/100), '0'+byte(v/10%10), '0'+byte(v%10))
	case v < 1e8:
		if v >= 1e4 {
			w.uint(v / 1e4)
		}
		u := uint32(v % 1e4)
		w.b = append(w.b, '0'+byte(u/1000), '0'+byte(u/100%10), '0'+byte(u/10%10), '0'+byte(u%10))
	default:
		w.b = strconv.AppendUint(w.b, v, 10)
	}
}

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
	var b [8]byte
	for i := range b {
		b[i] = digits[v>>(28-4*i)&15]
	}
	return append(dst, b[min(bits.LeadingZeros32(v)/4, 7):]...)
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

// stamp is a time in UTC, to the microsecond. The text of a second is kept:
// the next record is likely of the same.
func (w *writer) stamp(sec, micros int64) {
	if micros < 0 {
		sec, micros = sec-1, micros+1e6
	}
	if len(w.second) == 0 || sec != w.secondOf {
		w.second = time.Unix(sec, 0).UTC().AppendFormat(w.second[:0], "2006-01-02T15:04:05")
		w.secondOf = sec
	}
	w.quote()
	w.b = append(w.b, w.second...)
	if micros != 0 {
		digits := 6
		for ; micros%10 == 0; micros /= 10 {
			digits--
		}
		w.b = append(w.b, '.')
		for unit := micros; digits > 1 && unit < pow10[digits-1]; digits-- {
			w.b = append(w.b, '0')
		}
		w.uint(uint64(micros))
	}
	w.b = append(w.b, 'Z')
	w.quote()
}

// pow10 are powers of ten.
var pow10 = [...]int64{1, 10, 100, 1000, 10000, 100000}

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
	var left uint64
	first := true
	for rest := v; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		if i >= len(names) || names[i] == "" {
			left |= 1 << i
			continue
		}
		w.flag(first)
		w.quote()
		w.str(names[i])
		w.quote()
		first = false
	}
	if left != 0 {
		w.flag(first)
		w.quote()
		w.b = appendHex(w.b, left)
		w.quote()
	}
	if w.json {
		w.end(']')
	}
}

// flag separates a flag from those before it.
func (w *writer) flag(first bool) {
	switch {
	case w.json:
		w.sep()
	case !first:
		w.b = append(w.b, '|')
	}
}

// field writes the value of a field.
func (w *writer) field(f *field, b []byte) {
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
