package wire

import (
	"xenon/core"
)

// A decoder takes big-endian fields off the front of a message. Once bytes
// run out every field is zero and done tells.
type decoder struct {
	b    []byte
	fail bool
}

func (d *decoder) bytes(n int) []byte {
	if d.fail || n > len(d.b) {
		d.fail = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() uint8 {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if b := d.bytes(2); b != nil {
		return be.Uint16(b)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if b := d.bytes(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if b := d.bytes(8); b != nil {
		return be.Uint64(b)
	}
	return 0
}

func (d *decoder) lsn() core.LSN { return core.LSN(d.u64()) }

// xid reads a full transaction id: the xid, then its epoch.
func (d *decoder) xid() uint64 {
	low := d.u32()
	return uint64(low) | uint64(d.u32())<<32
}

func (d *decoder) str() string {
	if d.fail {
		return ""
	}
	s, rest, ok := cutString(d.b)
	d.b, d.fail = rest, !ok
	return s
}

// count reads a number of elements of at least size bytes each, so that no
// more is allocated than was sent.
func (d *decoder) count(size int) int {
	n := d.u32()
	if uint64(n)*uint64(size) > uint64(len(d.b)) {
		d.fail = true
		return 0
	}
	return int(n)
}

func (d *decoder) rel() core.Rel {
	return core.Rel{Spc: core.OID(d.u32()), DB: core.OID(d.u32()), Node: core.OID(d.u32()), Fork: core.Fork(d.u8())}
}

// rest takes all that is left.
func (d *decoder) rest() []byte { return d.bytes(len(d.b)) }

// done is nil if all bytes were there and none are left.
func (d *decoder) done(what string) error {
	if d.fail {
		return Errorf(CodeProtocol, "%s is cut short", what)
	}
	if len(d.b) > 0 {
		return Errorf(CodeProtocol, "%s has %d bytes too many", what, len(d.b))
	}
	return nil
}
