package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgproto3/v2"
)

// A Session is the server's end of a connection whose start-up is done.
type Session struct {
	*Conn
	Startup
}

// A QueryFunc carries out one simple query. It queues rows with Row, or
// streams after CopyBoth. The error it returns becomes an ErrorResponse and
// the session goes on, unless it is one of the connection itself. It must not
// keep sql.
type QueryFunc func(ctx context.Context, s *Session, sql string) error

// serverParams is what every session is told at its start. pg_receivewal
// wants a server that is not newer than itself and integer_datetimes.
var serverParams = []Param{
	{"server_version", "15.0"},
	{"server_encoding", "UTF8"},
	{"client_encoding", "UTF8"},
	{"DateStyle", "ISO, MDY"},
	{"integer_datetimes", "on"},
	{"standard_conforming_strings", "on"},
	{"is_superuser", "on"},
}

// Accept does the server's side of start-up on a connection of which nothing
// has been read: it answers requests for encryption with N, trusts the client,
// and reports ready. limit is the longest message body; 0 means
// [DefaultLimit].
func Accept(c net.Conn, limit int) (*Session, error) {
	s := &Session{Conn: NewConn(c, limit)}
	startup, version, err := readStartup(s.Conn)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			s.QueueError(err)
			s.Flush()
		}
		return nil, wrapPeer(c, "start-up of", err)
	}
	s.Startup = startup
	if version != protocol30 {
		s.negotiate()
	}
	s.queue(&pgproto3.AuthenticationOk{})
	for _, p := range serverParams {
		s.queue(&pgproto3.ParameterStatus{Name: p.Name, Value: p.Value})
	}
	s.ready()
	if err := s.Flush(); err != nil {
		return nil, wrapPeer(c, "start-up of", err)
	}
	return s, nil
}

// negotiate tells a client of a newer minor protocol that we speak 3.0
// (NegotiateProtocolVersion, no unknown options).
func (s *Session) negotiate() {
	body := be.AppendUint32(nil, protocol30)
	s.Queue('v', be.AppendUint32(body, 0))
}

// Serve reads commands and hands simple queries to query until the client
// leaves, which is nil, or the connection fails.
func (s *Session) Serve(ctx context.Context, query QueryFunc) error {
	skip := false // after an error in the extended protocol, until Sync
	for {
		kind, body, err := s.ReadMessage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrapPeer(s.c, "read from", err)
		}
		switch kind {
		case msgTerminate:
			return nil
		case msgQuery:
			err = s.serveQuery(ctx, body, query)
		case msgSync:
			skip = false
			s.ready()
			err = s.Flush()
		case 'P', 'B', 'D', 'E', 'C', 'H', 'F':
			if !skip {
				skip = true
				s.QueueError(Errorf(CodeUnsupported, "only simple queries are supported here, not the extended protocol (message %q)", kind))
				err = s.Flush()
			}
		case msgCopyData, msgCopyDone, msgCopyFail:
			// What a client sent before it learnt that its copy failed.
		default:
			err = Errorf(CodeProtocol, "unexpected message %q", kind)
			s.QueueError(err)
			s.Flush()
		}
		if err != nil {
			return wrapPeer(s.c, "session of", err)
		}
	}
}

func (s *Session) serveQuery(ctx context.Context, body []byte, query QueryFunc) error {
	end := bytes.IndexByte(body, 0)
	if end != len(body)-1 || end < 0 {
		err := Errorf(CodeProtocol, "Query message of %d bytes is not one NUL-terminated string", len(body))
		s.QueueError(err)
		s.Flush()
		return err
	}
	err := query(ctx, s, string(body[:end]))
	var closed *ConnError
	if errors.As(err, &closed) {
		return err
	}
	if err != nil {
		s.QueueError(err)
	}
	s.ready()
	return s.Flush()
}

// A ConnError says that the connection itself failed, so that no answer can
// be sent on it.
type ConnError struct{ Err error }

func (e *ConnError) Error() string { return e.Err.Error() }
func (e *ConnError) Unwrap() error { return e.Err }

func (s *Session) ready() { s.queue(&pgproto3.ReadyForQuery{TxStatus: 'I'}) }

// A Column is one column of a result.
type Column struct {
	Name string
	Type uint32 // OID in pg_type: TypeText, TypeInt4, TypeInt8
}

// Types of result columns (src/include/catalog/pg_type.dat).
const (
	TypeInt8 = 20
	TypeInt4 = 23
	TypeText = 25
)

// Columns queues the description of a result.
func (s *Session) Columns(cols ...Column) {
	fields := make([]pgproto3.FieldDescription, len(cols))
	for i, c := range cols {
		size := map[uint32]int16{TypeInt8: 8, TypeInt4: 4, TypeText: -1}[c.Type]
		fields[i] = pgproto3.FieldDescription{Name: []byte(c.Name), DataTypeOID: c.Type, DataTypeSize: size, TypeModifier: -1}
	}
	s.queue(&pgproto3.RowDescription{Fields: fields})
}

// Row queues one row of text values; a nil value is NULL.
func (s *Session) Row(values ...[]byte) { s.queue(&pgproto3.DataRow{Values: values}) }

// Complete queues the tag that ends a command.
func (s *Session) Complete(tag string) {
	s.queue(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

// CopyBoth turns the connection into a two-way stream of CopyData messages
// and flushes. It ends with EndCopy, or with an error from the QueryFunc.
func (s *Session) CopyBoth() error {
	s.Queue(msgCopyBoth, []byte{0, 0, 0})
	return s.flush()
}

// ReadCopy returns the next CopyData body of the client, valid until the next
// call. io.EOF means that the client ended its side with CopyDone; any failure
// of the connection is a *ConnError.
func (s *Session) ReadCopy() ([]byte, error) {
	for {
		kind, body, err := s.ReadMessage()
		if err != nil {
			return nil, &ConnError{wrapPeer(s.c, "read from", closedEarly(err))}
		}
		switch kind {
		case msgCopyData:
			return body, nil
		case msgCopyDone:
			return nil, io.EOF
		case msgCopyFail:
			text, _, _ := cutString(body)
			return nil, Errorf(CodeProtocol, "client ended the copy: %s", text)
		case 'H', msgSync:
			// Flush and Sync are allowed in copy mode and mean nothing.
		case msgTerminate:
			return nil, &ConnError{wrapPeer(s.c, "copy of", errors.New("client terminated"))}
		default:
			return nil, Errorf(CodeProtocol, "unexpected message %q in copy mode", kind)
		}
	}
}

// closedEarly makes the end of the stream inside a copy an error that is not
// taken for CopyDone.
func closedEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// EndCopy ends our side of the stream and flushes. The caller then reads
// until io.EOF unless the client ended first.
func (s *Session) EndCopy() error {
	s.Queue(msgCopyDone, nil)
	return s.flush()
}

func (s *Session) flush() error {
	if err := s.Flush(); err != nil {
		return &ConnError{wrapPeer(s.c, "write to", err)}
	}
	return nil
}

type encoder interface {
	Encode(dst []byte) ([]byte, error)
}

// queue encodes one of pgproto3's messages. Encoding fails only for messages
// beyond 2^31 bytes or 2^16 columns, which this package never builds.
func (c *Conn) queue(m encoder) {
	out, err := m.Encode(c.out)
	if err != nil {
		panic(err)
	}
	c.out = out
}
