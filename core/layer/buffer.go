package layer

import "io"

// A Buffer collects a layer in memory; it is the env.Body of the Put that
// follows.
type Buffer struct {
	chunks [][]byte
	size   int64
}

const bufferChunk = 1 << 20

// Write appends b; it never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	n := len(p)
	b.size += int64(n)
	for len(p) > 0 {
		if k := len(b.chunks); k == 0 || len(b.chunks[k-1]) == cap(b.chunks[k-1]) {
			b.chunks = append(b.chunks, make([]byte, 0, bufferChunk))
		}
		last := &b.chunks[len(b.chunks)-1]
		take := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:take]...)
		p = p[take:]
	}
	return n, nil
}

// Size is the number of bytes written.
func (b *Buffer) Size() int64 { return b.size }

// Open reads the bytes from the first on.
func (b *Buffer) Open() (io.ReadCloser, error) {
	return io.NopCloser(&bufferReader{chunks: b.chunks}), nil
}

type bufferReader struct{ chunks [][]byte }

func (r *bufferReader) Read(p []byte) (int, error) {
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	rest := r.chunks[0][n:]
	r.chunks = append([][]byte{rest}, r.chunks[1:]...)
	if len(rest) == 0 {
		r.chunks = r.chunks[1:]
	}
	return n, nil
}
