package pageserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"xenon/core"
	"xenon/core/env"
)

// A ref says where an entry of a bytelog is and what it holds: 4 bits of kind,
// 38 of chunk, 22 of offset.
type ref uint64

// A kind is what an entry holds.
type kind uint8

const (
	kindRecord     kind = iota + 1 // a WAL record that needs the older version
	kindRecordInit                 // a WAL record that makes the page from nothing
	kindPatch                      // a redo.Patch
	kindPatchInit                  // a redo.Patch that begins with zeroes
	kindImage                      // the whole value
	kindGone                       // no entry: the value ends here
)

// init tells whether no older version is needed.
func (k kind) init() bool { return k != kindRecord && k != kindPatch }

const (
	offBits   = 22
	chunkBits = 38
	chunkSize = 1 << offBits
)

func makeRef(k kind, chunk, off int) ref {
	return ref(k)<<(chunkBits+offBits) | ref(chunk)<<offBits | ref(off)
}

func (r ref) kind() kind { return kind(r >> (chunkBits + offBits)) }
func (r ref) chunk() int { return int(r >> offBits & (1<<chunkBits - 1)) }
func (r ref) off() int   { return int(r & (1<<offBits - 1)) }

// as is the same entry read as another kind: a record that makes one page from
// nothing may change another.
func (r ref) as(k kind) ref { return makeRef(k, r.chunk(), r.off()) }

// entryHead is length, CRC-32C of the rest, and the LSN at which the record
// begins (0 if the entry is none).
const entryHead = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A bytelog holds the bytes of versions, in the order in which they came. New
// chunks are in memory; spill moves the oldest to a file, which is scratch
// that does not outlive the process.
type bytelog struct {
	mu     sync.Mutex // leaf: guards everything below
	chunks []chunk
	inMem  int64
	filed  int // chunks[:filed] are in the file
	fileAt int64
	file   env.File // nil until the first spill
}

// A chunk is in memory while data is not nil. Bytes once written do not
// change, so readers use them without the lock.
type chunk struct {
	data   []byte
	fileAt int64
}

// append stores an entry. The payload is copied.
func (l *bytelog) append(k kind, start core.LSN, payload []byte) ref {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := entryHead + len(payload)
	last := len(l.chunks) - 1
	if last < 0 || cap(l.chunks[last].data)-len(l.chunks[last].data) < n {
		// An entry longer than a chunk gets one of its own size.
		// The first chunks are short: most timelines have little.
		size := min(chunkSize, 1<<min(12+last+1, offBits))
		l.chunks = append(l.chunks, chunk{data: make([]byte, 0, max(size, n))})
		last++
		l.inMem += int64(cap(l.chunks[last].data))
	}
	c := &l.chunks[last]
	off := len(c.data)
	c.data = binary.LittleEndian.AppendUint32(c.data, uint32(len(payload)))
	c.data = binary.LittleEndian.AppendUint32(c.data, 0)
	c.data = binary.LittleEndian.AppendUint64(c.data, uint64(start))
	c.data = append(c.data, payload...)
	binary.LittleEndian.PutUint32(c.data[off+4:], crc32.Checksum(c.data[off+8:], castagnoli))
	return makeRef(k, last, off)
}

// An entry is what get returns; its payload must not be changed.
type entry struct {
	start   core.LSN
	payload []byte
}

// get reads an entry, from the file if it is there, where its checksum tells
// whether it is still what was written.
func (l *bytelog) get(r ref) (entry, error) {
	l.mu.Lock()
	c := l.chunks[r.chunk()]
	file := l.file
	l.mu.Unlock()
	if c.data != nil {
		b := c.data[r.off():]
		n := binary.LittleEndian.Uint32(b)
		return entry{core.LSN(binary.LittleEndian.Uint64(b[8:])), b[entryHead : entryHead+n : entryHead+n]}, nil
	}
	return readEntry(file, c.fileAt+int64(r.off()))
}

// readEntry guesses a length that most entries have, to need one read.
func readEntry(f env.File, at int64) (entry, error) {
	const guess = 512
	b := make([]byte, guess)
	n, err := f.ReadAt(b, at)
	if n < entryHead {
		return entry{}, spillError(at, err)
	}
	size := int64(binary.LittleEndian.Uint32(b))
	if total := entryHead + size; int64(n) >= total {
		b = b[:total]
	} else {
		// The length is not trusted before it is known to lie in the file.
		if end, err := f.Size(); err != nil || at+total > end {
			return entry{}, spillError(at, errors.Join(err, env.ErrCorrupt))
		}
		b = append(b[:n], make([]byte, total-int64(n))...)
		if m, err := f.ReadAt(b[n:], at+int64(n)); m < len(b)-n {
			return entry{}, spillError(at, err)
		}
	}
	if want, got := binary.LittleEndian.Uint32(b[4:]), crc32.Checksum(b[8:], castagnoli); want != got {
		return entry{}, spillError(at, fmt.Errorf("checksum is %08X, computed %08X: %w", want, got, env.ErrCorrupt))
	}
	return entry{core.LSN(binary.LittleEndian.Uint64(b[8:])), b[entryHead:]}, nil
}

func spillError(at int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		err = env.ErrCorrupt
	}
	return fmt.Errorf("spilled versions at byte %d (a restart of the pageserver makes them anew): %w", at, err)
}

// memory is how many bytes of chunks are in memory.
func (l *bytelog) memory() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inMem
}

// spill moves full chunks, the oldest first, to a file of open until limit
// bytes are left in memory. One task spills.
func (l *bytelog) spill(limit int64, open func() (env.File, error)) error {
	for {
		l.mu.Lock()
		i, over := l.filed, l.inMem > limit
		if !over || i >= len(l.chunks)-1 {
			l.mu.Unlock()
			return nil
		}
		data, at, file := l.chunks[i].data, l.fileAt, l.file
		l.mu.Unlock()
		if file == nil {
			var err error
			if file, err = open(); err != nil {
				return fmt.Errorf("spill versions: %w", err)
			}
		}
		if _, err := file.WriteAt(data, at); err != nil {
			return fmt.Errorf("spill versions: %w", err)
		}
		l.mu.Lock()
		l.file = file
		l.chunks[i] = chunk{fileAt: at}
		l.filed++
		l.fileAt += int64(len(data))
		l.inMem -= int64(cap(data))
		l.mu.Unlock()
	}
}

// close lets go of the file.
func (l *bytelog) close() {
	l.mu.Lock()
	f := l.file
	l.file = nil
	l.mu.Unlock()
	if f != nil {
		f.Close()
	}
}
