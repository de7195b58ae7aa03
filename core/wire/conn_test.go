package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/wire"
)

// serve runs a server on one end of a pipe and returns the other end.
func serve(t *testing.T, query wire.QueryFunc) net.Conn {
	a, b := net.Pipe()
	go func() {
		defer b.Close()
		if s, err := wire.Accept(b, 1<<20); err == nil {
			s.Serve(context.Background(), query)
		}
	}()
	t.Cleanup(func() { a.Close() })
	return a
}

func TestQueryAndErrors(t *testing.T) {
	ttid := core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	c, err := wire.Start(serve(t, func(_ context.Context, s *wire.Session, sql string) error {
		if sql != "good" {
			return &wire.Error{Code: wire.CodeSyntax, Message: "bad " + sql, Hint: "be good"}
		}
		id, err := s.TTID()
		s.Columns(wire.Column{Name: "id", Type: wire.TypeText}, wire.Column{Name: "none", Type: wire.TypeInt8})
		s.Row([]byte(id.String()), nil)
		s.Complete("SELECT 1")
		return err
	}), wire.ClientConfig{TTID: ttid, ApplicationName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // an error does not end the session
		_, err = c.Query("x")
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != wire.CodeSyntax || e.Message != "bad x" || e.Hint != "be good" {
			t.Fatalf("error %v", err)
		}
	}
	res, err := c.Query("good")
	if err != nil || res.Tag != "SELECT 1" || len(res.Rows) != 1 || string(res.Rows[0][0]) != ttid.String() || res.Rows[0][1] != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if len(c.Status) == 0 {
		t.Error("no ParameterStatus")
	}
}

func TestCopyBothEndsInOrder(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 8192)
	c, err := wire.Start(serve(t, func(_ context.Context, s *wire.Session, _ string) error {
		if err := s.CopyBoth(); err != nil {
			return err
		}
		for {
			b, err := s.ReadCopy()
			if errors.Is(err, io.EOF) {
				if err := s.EndCopy(); err != nil {
					return err
				}
				s.Complete("COPY")
				return nil
			}
			if err != nil {
				return err
			}
			s.CopyData([]byte{byte(len(b))}, big) // a header and a payload by reference
			s.CopyData([]byte("small"), nil)
			if err := s.Flush(); err != nil {
				return err
			}
		}
	}), wire.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the session goes on after a stream
		if err := c.CopyBoth("go"); err != nil {
			t.Fatal(err)
		}
		c.CopyData([]byte("abc"), nil)
		c.Flush()
		for _, want := range [][]byte{append([]byte{3}, big...), []byte("small")} {
			if b, err := c.ReadCopy(); err != nil || !bytes.Equal(b, want) {
				t.Fatalf("%d bytes, %v; want %d", len(b), err, len(want))
			}
		}
		if err := c.EndCopy(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a peer claims costs nothing before it is sent.
func TestLimits(t *testing.T) {
	tests := []struct{ name, bytes, want string }{
		{"a body beyond the limit", "d\x00\x10\x00\x00", "exceeds the limit of 1000"},
		{"a length below its own size", "d\x00\x00\x00\x03", "less than its own 4 bytes"},
		{"a message cut short", "d\x00\x00\x00\x09ab", io.ErrUnexpectedEOF.Error()},
		{"a header cut short", "d\x00", io.ErrUnexpectedEOF.Error()},
		{"the end", "", io.EOF.Error()},
	}
	for _, test := range tests {
		c := wire.NewConn(&canned{say: strings.NewReader(test.bytes)}, 1000)
		if _, _, err := c.ReadMessage(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestStartupRefusals(t *testing.T) {
	tests := []struct{ name, bytes, want string }{
		{"protocol 2", "\x00\x00\x00\x09\x00\x02\x00\x00\x00", "protocol version 2.0 is not supported"},
		{"cancel", "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02", "cancel requests"},
		{"too long", "\x00\x01\x00\x00\x00\x03\x00\x00", "exceeds the limit"},
		{"no end of the list", "\x00\x00\x00\x0d\x00\x03\x00\x00user\x00", "has no value"},
		{"SSL for ever", strings.Repeat("\x00\x00\x00\x08\x04\xd2\x16\x2f", 9), "too many requests for encryption"},
	}
	for _, test := range tests {
		c := &canned{say: strings.NewReader(test.bytes)}
		if _, err := wire.Accept(namedPeer{c}, 0); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

type namedPeer struct{ *canned }

func (namedPeer) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// Reading and writing messages allocates nothing once buffers have grown.
func TestNoAllocationPerMessage(t *testing.T) {
	payload := make([]byte, 100_000)
	msg := append([]byte("d\x00\x01\x86\xA4"), payload...)
	in := wire.NewConn(&canned{say: endless{bytes.NewReader(msg), msg}}, 0)
	out := wire.NewConn(&canned{}, 0)
	head := make([]byte, 45)
	one := func() {
		if _, _, err := in.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			out.CopyData(head, payload)
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	one()
	if n := testing.AllocsPerRun(100, one); n > 0.5 {
		t.Errorf("%v allocations for a message read and four written", n)
	}
}

type endless struct {
	r   *bytes.Reader
	msg []byte
}

func (e endless) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if errors.Is(err, io.EOF) {
		e.r.Reset(e.msg)
		return e.r.Read(p)
	}
	return n, err
}

func TestOptions(t *testing.T) {
	got := fmt.Sprint(wire.ParseOptions("-c tenant_id=a  timeline_id=b -cx=y --z=1 noise"))
	if want := "[{tenant_id a} {timeline_id b} {x y} {z 1}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
