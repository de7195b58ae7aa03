package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"xenon/core"
	"xenon/core/wire"
	"xenon/realio"
)

// pageBatch is how many pages are asked for together where it is the rate that
// counts: what a pageserver answers at once.
const pageBatch = 32

// A pageReader asks a server of pages for blocks of one relation: all
// requests, then all answers.
type pageReader interface {
	read(blocks []uint32) error
	io.Closer
}

// A stream is our page service.
type stream struct {
	env  *realio.Env
	conn *wire.Client
	req  wire.PageRequest
	buf  []byte
}

// openStream connects to the pageserver at addr, to read rel as of lsn.
func openStream(addr string, id core.TTID, rel core.Rel, lsn core.LSN) (*stream, error) {
	s := &stream{env: realio.New(realio.Options{})}
	s.req = wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: rel}
	var err error
	if s.conn, err = wire.Connect(context.Background(), s.env, addr, wire.ClientConfig{Timeout: time.Minute}); err == nil {
		err = s.conn.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", id.Tenant, id.Timeline))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stream) read(blocks []uint32) error {
	for _, b := range blocks {
		s.req.ID++
		s.req.Block = b
		s.buf = s.req.Append(s.buf[:0])
		s.conn.CopyData(s.buf, nil)
	}
	if err := s.conn.Flush(); err != nil {
		return err
	}
	for _, b := range blocks {
		body, err := s.conn.ReadCopy()
		if err != nil {
			return err
		}
		reply, err := wire.DecodePageReply(body)
		if err != nil {
			return err
		}
		if reply.Request.Kind != wire.PageGet || reply.Request.Block != b || len(reply.Pages) != core.PageSize {
			return fmt.Errorf("block %d of %s: %s %s", b, s.req.Rel, reply.Request.Kind, reply.Message)
		}
	}
	return nil
}

// Close ends the connection.
func (s *stream) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return s.env.Close()
}

// ServeFile is the least that a server of pages can be: it answers each block
// number (u32, little-endian) with that block of a file, and writes when no
// more requests have come. It ends with the listener.
func ServeFile(l net.Listener, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveFile(c, f)
	}
}

func serveFile(c net.Conn, f *os.File) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriterSize(c, pageBatch*core.PageSize)
	var number [4]byte
	page := make([]byte, core.PageSize)
	for {
		if _, err := io.ReadFull(r, number[:]); err != nil {
			return
		}
		if _, err := f.ReadAt(page, int64(binary.LittleEndian.Uint32(number[:]))*core.PageSize); err != nil {
			return
		}
		w.Write(page)
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// A fileReader asks [ServeFile].
type fileReader struct {
	net.Conn
	r    *bufio.Reader
	buf  []byte
	page [core.PageSize]byte
}

func openFileReader(addr string) (*fileReader, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &fileReader{Conn: c, r: bufio.NewReaderSize(c, pageBatch*core.PageSize)}, nil
}

func (f *fileReader) read(blocks []uint32) error {
	f.buf = f.buf[:0]
	for _, b := range blocks {
		f.buf = binary.LittleEndian.AppendUint32(f.buf, b)
	}
	if _, err := f.Write(f.buf); err != nil {
		return err
	}
	for range blocks {
		if _, err := io.ReadFull(f.r, f.page[:]); err != nil {
			return err
		}
	}
	return nil
}
