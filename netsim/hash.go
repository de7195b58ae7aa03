package netsim

import (
	"encoding/binary"
	"math/bits"
)

// The constants are odd numbers with as many ones as zeros, from wyhash.
const (
	hashA = 0xa0761d6478bd642f
	hashB = 0xe7037ed1a0b428db
	hashC = 0x8ebc6af09c88c6e3
)

// mix folds x into h.
func mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^hashA, x^hashB)
	return hi ^ lo ^ bits.RotateLeft64(h, 23)
}

func hashString(h uint64, s string) uint64 {
	h = mix(h, uint64(len(s)))
	for i := range len(s) {
		h = mix(h, uint64(s[i]))
	}
	return h
}

// hashBytes folds b into h, in two lanes that do not wait for each other.
func hashBytes(h uint64, b []byte) uint64 {
	x, y := mix(h, uint64(len(b))), h^hashC
	for len(b) >= 32 {
		x = mix(x^binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]))
		y = mix(y^binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]))
		b = b[32:]
	}
	for len(b) >= 8 {
		x = mix(x, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for _, c := range b {
		y = mix(y, uint64(c))
	}
	return mix(x, y)
}
