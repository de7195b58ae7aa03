package wal

import "errors"

var (
	errTruncated = errors.New("compressed bytes end too early")
	errOverflow  = errors.New("compressed bytes hold more than the page")
	errOffset    = errors.New("compressed bytes refer to before the page")
	errTrailing  = errors.New("bytes after the compressed page")
)

// decodePGLZ unpacks src into dst, which must be just as long as what src
// holds (src/common/pg_lzcompress.c). A control byte announces eight items,
// lowest bit first: 0 is a literal, 1 a copy of 3 bytes or more from up to
// 4,095 bytes back.
func decodePGLZ(dst, src []byte) (int, error) {
	d, s := 0, 0
	for s < len(src) && d < len(dst) {
		control := src[s]
		s++
		for bit := 0; bit < 8 && s < len(src) && d < len(dst); bit++ {
			if control>>bit&1 == 0 {
				dst[d] = src[s]
				d, s = d+1, s+1
				continue
			}
			if len(src)-s < 2 {
				return d, errTruncated
			}
			length := int(src[s]&0x0F) + 3
			offset := int(src[s]&0xF0)<<4 | int(src[s+1])
			s += 2
			if length == 18 {
				if s == len(src) {
					return d, errTruncated
				}
				length += int(src[s])
				s++
			}
			if offset == 0 || offset > d {
				return d, errOffset
			}
			// The last copy may claim more than is left, as PostgreSQL allows.
			d += copyBack(dst[:min(d+length, len(dst))], d, offset)
		}
	}
	if s < len(src) {
		return d, errTrailing
	}
	return d, nil
}

// copyBack fills dst from d on with the bytes offset before them, which may
// overlap what it writes. It returns how many it wrote.
func copyBack(dst []byte, d, offset int) int {
	n := len(dst) - d
	for d < len(dst) {
		// Each round doubles the distance that is already there.
		c := copy(dst[d:], dst[d-offset:d])
		d += c
		offset += c
	}
	return n
}
