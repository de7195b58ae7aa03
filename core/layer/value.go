package layer

import (
	"fmt"

	"xenon/core"
	"xenon/core/faults"
)

// A Kind is what a value of a delta layer holds. The numbers are of the file
// format.
type Kind uint8

// The kinds of values.
const (
	KindRecord     Kind = 1 // a WAL record that needs the older version
	KindRecordInit Kind = 2 // a WAL record that makes the page from nothing
	KindPatch      Kind = 3 // a patch of a page that needs the older version
	KindPatchInit  Kind = 4 // a patch that begins with zeroes
	KindImage      Kind = 5 // the whole value
	KindGone       Kind = 6 // no data: the key has no value from here on
)

// Init tells whether no older version is needed.
func (k Kind) Init() bool { return k != KindRecord && k != KindPatch }

// record tells whether the value is a WAL record, which has a start and may be
// stored once for all its keys.
func (k Kind) record() bool { return k == KindRecord || k == KindRecordInit }

func (k Kind) known() bool { return k >= KindRecord && k <= KindGone }

// A Value is what one record made of one key.
type Value struct {
	Kind Kind
	// Start is where the WAL record begins; 0 unless Data is one. Its end is
	// the version's LSN.
	Start core.LSN
	Data  []byte
}

// A Version is a value and since when it holds.
type Version struct {
	LSN core.LSN // end of the record
	Value
}

// A value in a delta layer's table is a byte of kind and a body: of a record
// its start (u64) and its bytes, of a patch or an image its bytes, of a key
// that is gone nothing. A record that changes several pages is a value of each
// of them. With sharedBit in the byte of kind the body is the smallest key
// under which this layer has the record, at the same LSN; there it is stored.
const sharedBit = 0x80

const recordHead = 1 + 8 // kind, start

// deltaKey is the key of a version in the table of a delta layer.
func deltaKey(k core.Key, lsn core.LSN) (b [deltaWidth]byte) {
	copy(b[:], k[:])
	be.PutUint64(b[core.KeySize:], uint64(lsn))
	return b
}

// splitKey is the inverse of deltaKey.
func splitKey(b []byte) (core.Key, core.LSN) {
	return core.Key(b[:core.KeySize]), core.LSN(be.Uint64(b[core.KeySize:deltaWidth]))
}

func appendValue(b []byte, v Value) []byte {
	b = append(b, byte(v.Kind))
	if v.Kind.record() {
		b = le.AppendUint64(b, uint64(v.Start))
	}
	return append(b, v.Data...)
}

func appendShared(b []byte, kind Kind, holder core.Key) []byte {
	return append(append(b, byte(kind)|sharedBit), holder[:]...)
}

// parseValue reads a stored value. If its record is stored elsewhere, shared
// tells so and v.Data is the 18 bytes of the key that has it.
func parseValue(b []byte) (v Value, shared bool, err error) {
	if len(b) == 0 {
		return v, false, fmt.Errorf("a value of no bytes")
	}
	v.Kind, shared = Kind(b[0]&^sharedBit), b[0]&sharedBit != 0
	switch {
	case !v.Kind.known() || shared && !v.Kind.record():
		return v, false, fmt.Errorf("a value of unknown kind %02X", b[0])
	case shared && len(b) != 1+core.KeySize, v.Kind.record() && !shared && len(b) < recordHead, v.Kind == KindGone && len(b) != 1:
		return v, false, fmt.Errorf("a value of kind %02X in %d bytes", b[0], len(b))
	case v.Kind.record() && !shared:
		v.Start, v.Data = core.LSN(le.Uint64(b[1:])), b[recordHead:]
	default:
		v.Data = b[1:]
	}
	return v, shared, nil
}

// adopt takes over the record that holder has.
func (v *Value) adopt(holder []byte) error {
	h, shared, err := parseValue(holder)
	if err != nil {
		return err
	}
	if shared || !h.Kind.record() {
		return fmt.Errorf("a value said to hold a record has kind %02X", holder[0])
	}
	v.Start, v.Data = h.Start, h.Data
	if faults.On && faults.Hit(faults.SharedKind) {
		v.Kind = h.Kind
	}
	return nil
}
