package describe

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A kind is how the bytes of a field are read.
type kind uint8

const (
	kU8 kind = iota
	kU16
	kU32
	kU64
	kI32
	kBool
	kF64
	kXID
	kLSN     // as in records: one 64-bit number
	kPageLSN // as in pages: the high half first
	kTime    // TimestampTz: microseconds since 2000
	kUnix    // pg_time_t: seconds since 1970
	kRel     // RelFileNode: tablespace, database, relation
	kTID     // ItemPointerData
	kBlkID   // BlockIdData
	kText    // text in a field of fixed length, ended by a zero
	kFlags   // bits with names
	kEnum    // values with names, from 0
	kPad     // not shown
)

// A field is one member of a struct.
type field struct {
	name     string
	text     string // name and an equals sign
	off, len int
	kind     kind
	names    []string // of bits or values; an empty one has no name
}

// A layout is a struct of PostgreSQL, field by field.
type layout []field

// scalars are the types that a line of a table may use, with their size; all
// but text are aligned to align.
var scalars = map[string]struct {
	kind        kind
	size, align int
}{
	"u8": {kU8, 1, 1}, "u16": {kU16, 2, 2}, "u32": {kU32, 4, 4}, "u64": {kU64, 8, 8}, "i32": {kI32, 4, 4},
	"bool": {kBool, 1, 1}, "f64": {kF64, 8, 8}, "xid": {kXID, 4, 4}, "lsn": {kLSN, 8, 8}, "pagelsn": {kPageLSN, 8, 4},
	"time": {kTime, 8, 8}, "unix": {kUnix, 8, 8}, "rel": {kRel, 12, 4}, "tid": {kTID, 6, 2}, "blkid": {kBlkID, 4, 2},
	"f8": {kFlags, 1, 1}, "f16": {kFlags, 2, 2}, "f32": {kFlags, 4, 4}, "e8": {kEnum, 1, 1}, "e32": {kEnum, 4, 4},
	"text64": {kText, 64, 1}, "pad1": {kPad, 1, 1}, "pad2": {kPad, 2, 2}, "pad4": {kPad, 4, 4},
}

// parse reads a line of a table: "name:type name:type{A|B|C} …". Offsets
// follow from C's rules of alignment. A wrong line stops the program as it
// starts: the tables are constants.
func parse(line string) layout {
	var l layout
	at := 0
	for word := range strings.FieldsSeq(line) {
		name, typ, _ := strings.Cut(word, ":")
		typ, list, named := strings.Cut(typ, "{")
		s, ok := scalars[typ]
		if !ok {
			panic(fmt.Sprintf("describe: no type %q in %q", typ, line))
		}
		at = (at + s.align - 1) &^ (s.align - 1)
		f := field{name: name, text: name + "=", off: at, len: s.size, kind: s.kind}
		if named {
			f.names = strings.Split(strings.TrimSuffix(list, "}"), "|")
		}
		l = append(l, f)
		at += s.size
	}
	return l
}

// size is how far the fields reach.
func (l layout) size() int {
	if len(l) == 0 {
		return 0
	}
	last := l[len(l)-1]
	return last.off + last.len
}

// at is the field that has the byte at off.
func (l layout) at(off int) (field, bool) {
	for _, f := range l {
		if off >= f.off && off < f.off+f.len && f.kind != kPad {
			return f, true
		}
	}
	return field{}, false
}

// describe writes the fields that b is long enough for, and returns the rest.
func (l layout) describe(w *writer, b []byte) (rest []byte) {
	end := 0
	for i := range l {
		f := &l[i]
		if f.off+f.len > len(b) {
			w.text("error", "cut short")
			return nil
		}
		if f.kind != kPad {
			if w.json {
				w.key(f.name)
			} else {
				w.sep()
				w.str(f.text)
			}
			w.field(f, b[f.off:f.off+f.len])
		}
		end = f.off + f.len
	}
	return b[end:]
}

// number is the value of a field that is one.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func u16(b []byte, off int) int    { return int(binary.LittleEndian.Uint16(b[off:])) }
func u32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }

// value is a field in words, for [FirstDifference].
func (f *field) value(b []byte) string {
	w := writer{}
	w.field(f, b[f.off:f.off+f.len])
	return string(w.b)
}

// appendHex is 0x and v.
func appendHex(dst []byte, v uint64) []byte {
	return strconv.AppendUint(append(dst, "0x"...), v, 16)
}
