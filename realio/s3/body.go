package s3

import (
	"fmt"
	"hash"
	"io"

	"xenon/core/env"
)

// A body is what a Get reads.
type body struct {
	body    io.ReadCloser
	key     string
	attempt *attempt
	left    int64
	sum     hash.Hash32 // nil where there is nothing to compare with
	want    string      // the server's checksum, or ""
}

// Read reads what comes next. The library compares checksums as well, and has
// no error for it that can be told from others; so ours comes first.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.left -= int64(n)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	if err == nil {
		return n, nil
	}
	if b.left == 0 {
		if b.sum != nil && b.want != "" && encodeChecksum(b.sum.Sum32()) != b.want {
			return n, fmt.Errorf("get %q: its checksum is %s, the store knows %s: %w", b.key, encodeChecksum(b.sum.Sum32()), b.want, env.ErrCorrupt)
		}
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != io.ErrUnexpectedEOF {
		err = b.attempt.failed(err)
	}
	return n, fmt.Errorf("get %q: %d bytes before its end: %w", b.key, b.left, err)
}

func (b *body) Close() error { return b.body.Close() }
