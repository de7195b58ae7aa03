package wal

import (
	"errors"
	"io"
	"sync"

	"xenon/core"
)

// A ReadFunc reads WAL bytes from at on into p, as io.ReaderAt does: io.EOF
// says that nothing is stored beyond what it returned.
type ReadFunc func(p []byte, at core.LSN) (int, error)

// A Tail is where a log ends.
type Tail struct {
	// End is the end of the last complete record, or where the scan started.
	End core.LSN
	// Last is the start of that record, 0 if there was none.
	Last core.LSN
	// Records is how many there were.
	Records uint64
	// Stop is what stands after End: an [*InvalidError], or nil if the bytes
	// ran out. After a crash all of them are normal.
	Stop error
}

// scanFirst is how much is read at first: most logs that are looked at end soon.
// While reads are filled they double, up to scanMost.
const (
	scanFirst = 64 << 10
	scanMost  = 256 << 10
)

var scanBuffers = sync.Pool{New: func() any { return new([scanFirst]byte) }}

// FindEnd reads a log from start, where a record begins whose predecessor is
// prev (0: unknown), to the end of its last complete record. The error is one
// of read's; whatever the bytes are is told by the Tail.
func FindEnd(f Format, read ReadFunc, start, prev core.LSN) (Tail, error) {
	d := NewDecoder(f, start, prev)
	t := Tail{End: d.Pos()}
	first := scanBuffers.Get().(*[scanFirst]byte)
	defer scanBuffers.Put(first)
	buf := first[:]
	for {
		n, err := read(buf, d.Pos())
		if err != nil && !errors.Is(err, io.EOF) {
			return t, err
		}
		if n == 0 {
			return t, nil
		}
		if err := d.Feed(d.Pos(), buf[:n]); err != nil {
			return t, err
		}
		if done := t.scan(d); done {
			return t, nil
		}
		if n == len(buf) && n < scanMost {
			buf = make([]byte, 2*n)
		}
	}
}

// scan takes in the records there are; it tells whether the log ends there.
func (t *Tail) scan(d *Decoder) bool {
	for {
		rec, ok, err := d.Next()
		if err != nil {
			t.Stop = err
			return true
		}
		if !ok {
			return false
		}
		t.End, t.Last = rec.End, rec.Start
		t.Records++
	}
}
