// Package http1 serves and calls HTTP/1.1 over connections of an env.Net, for
// management and metrics. It parses with net/http and starts no goroutine, so
// that it runs in the simulator as in production.
//
// Start at [Serve] and [Call].
package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"xenon/core/env"
)

const (
	headerLimit = 64 << 10         // request line and header
	idleTimeout = 60 * time.Second // between requests, and for a request's header
	bodyTimeout = 5 * time.Minute  // for a body to arrive and an answer to leave
	drainLimit  = 256 << 10        // of a body that the handler did not read
)

// Serve answers requests on c with h, one after the other, until the peer
// leaves or the connection fails. The caller closes c, also to end Serve. A
// request's context is ctx.
func Serve(ctx context.Context, e env.Env, c net.Conn, h http.Handler) {
	limited := &io.LimitedReader{R: c}
	br := bufio.NewReader(limited)
	for ctx.Err() == nil {
		limited.N = headerLimit
		c.SetDeadline(e.Clock().Now().Add(idleTimeout))
		req, err := http.ReadRequest(br)
		if err != nil {
			refuse(c, err, limited.N <= 0)
			return
		}
		limited.N = math.MaxInt64
		c.SetDeadline(e.Clock().Now().Add(bodyTimeout))
		if !serveOne(ctx, c, req, h) {
			return
		}
	}
}

// refuse answers what could not be parsed; a connection that ended or failed
// gets nothing.
func refuse(c net.Conn, err error, tooLong bool) {
	var netErr net.Error
	if !tooLong && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netErr)) {
		return
	}
	code, text := http.StatusBadRequest, err.Error()
	if tooLong {
		code, text = http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("header exceeds %d bytes", headerLimit)
	}
	w := newWriter(c, "")
	w.Header().Set("Connection", "close")
	http.Error(w, text, code)
	w.finish()
}

func serveOne(ctx context.Context, c net.Conn, req *http.Request, h http.Handler) (again bool) {
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return false
		}
	}
	req.RemoteAddr = c.RemoteAddr().String()
	req = req.WithContext(ctx)
	w := newWriter(c, req.Method)
	w.http10 = !req.ProtoAtLeast(1, 1)
	again = !req.Close && !w.http10
	if !again {
		w.Header().Set("Connection", "close")
	}
	h.ServeHTTP(w, req)
	if err := w.finish(); err != nil {
		return false
	}
	n, err := io.CopyN(io.Discard, req.Body, drainLimit)
	req.Body.Close()
	// A body that was not read to its end would be taken for the next request.
	return again && errors.Is(err, io.EOF) && n < drainLimit
}

// A writer collects one response and sends it with its length, or in chunks
// from the first Flush on.
type writer struct {
	c       net.Conn
	method  string
	http10  bool
	header  http.Header
	status  int
	body    bytes.Buffer
	chunked bool // the header has been sent
	err     error
}

func newWriter(c net.Conn, method string) *writer {
	return &writer{c: c, method: method, header: http.Header{}}
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.err != nil {
		return 0, w.err
	}
	return w.body.Write(p)
}

// Flush sends what was written so far.
func (w *writer) Flush() {
	w.WriteHeader(http.StatusOK)
	if w.http10 || w.err != nil {
		return // sent with its length at the end
	}
	var out bytes.Buffer
	if !w.chunked {
		w.chunked = true
		w.header.Set("Transfer-Encoding", "chunked")
		w.head(&out)
	}
	w.chunk(&out)
	w.send(&out)
}

func (w *writer) chunk(out *bytes.Buffer) {
	if w.body.Len() == 0 || w.method == http.MethodHead {
		w.body.Reset()
		return
	}
	fmt.Fprintf(out, "%x\r\n", w.body.Len())
	out.Write(w.body.Bytes())
	out.WriteString("\r\n")
	w.body.Reset()
}

func (w *writer) finish() error {
	w.WriteHeader(http.StatusOK)
	var out bytes.Buffer
	if w.chunked {
		w.chunk(&out)
		out.WriteString("0\r\n\r\n")
		w.send(&out)
		return w.err
	}
	if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		w.header.Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	w.head(&out)
	if w.method != http.MethodHead {
		out.Write(w.body.Bytes())
	}
	w.send(&out)
	return w.err
}

// head writes the status line and the header; net/http sorts it.
func (w *writer) head(out *bytes.Buffer) {
	fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	w.header.Write(out)
	out.WriteString("\r\n")
}

func (w *writer) send(out *bytes.Buffer) {
	if w.err == nil {
		_, w.err = w.c.Write(out.Bytes())
	}
}
