package wal

// decodeLZ4 unpacks one raw LZ4 block into dst, which must be just as long as
// what src holds. A block is a list of sequences: a token (four bits of literal
// length, four of match length minus 4), literals, a 2-byte offset; the last
// sequence ends after its literals (LZ4 block format description).
func decodeLZ4(dst, src []byte) (int, error) {
	const minMatch = 4
	d, s := 0, 0
	for {
		if s == len(src) {
			return d, errTruncated
		}
		token := src[s]
		n, s2, ok := lz4Length(src, s+1, int(token>>4))
		if !ok || n > len(src)-s2 {
			return d, errTruncated
		}
		if n > len(dst)-d {
			return d, errOverflow
		}
		d += copy(dst[d:], src[s2:s2+n])
		s = s2 + n
		if s == len(src) {
			return d, nil
		}
		if len(src)-s < 2 {
			return d, errTruncated
		}
		offset := int(src[s]) | int(src[s+1])<<8
		n, s, ok = lz4Length(src, s+2, int(token&0x0F))
		switch n += minMatch; {
		case !ok:
			return d, errTruncated
		case offset == 0 || offset > d:
			return d, errOffset
		case n > len(dst)-d:
			return d, errOverflow
		}
		d += copyBack(dst[:d+n], d, offset)
	}
}

// lz4Length reads the rest of a length whose four bits are in the token: if
// they are all set, bytes follow that add to it, up to the first below 255.
func lz4Length(src []byte, s, n int) (length, next int, ok bool) {
	if n < 15 {
		return n, s, true
	}
	for s < len(src) {
		b := src[s]
		s++
		n += int(b)
		if b < 255 {
			return n, s, true
		}
	}
	return 0, s, false
}
