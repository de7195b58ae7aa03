package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgproto3/v2"

	"xenon/core"
	"xenon/core/env"
)

// ClientConfig says how a client introduces itself.
type ClientConfig struct {
	User, Database  string // "xenon" and "replication" if empty
	ApplicationName string
	TTID            core.TTID // sent in options unless zero
	Options         []Param   // more words for options
	Limit           int       // longest message body; 0 means DefaultLimit
	Timeout         time.Duration
}

// A Client is the client's end of a connection whose start-up is done. After
// an error that is not an [*Error] it is of no more use and is to be closed.
type Client struct {
	*Conn
	Status []Param // ParameterStatus messages of the server
}

// Connect dials addr and does the client's side of start-up without
// encryption or password. cfg.Timeout, if not zero, bounds the start-up, and
// the end of ctx ends it: a peer that is paused takes connections and says
// nothing.
func Connect(ctx context.Context, e env.Env, addr string, cfg ClientConfig) (*Client, error) {
	c, err := e.Net().Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	if cfg.Timeout > 0 {
		c.SetDeadline(e.Clock().Now().Add(cfg.Timeout))
	}
	stop := CloseOn(ctx, c)
	defer stop()
	client, err := Start(c, cfg)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	if cfg.Timeout > 0 {
		c.SetDeadline(time.Time{})
	}
	return client, nil
}

// Start does the client's side of start-up on an open connection.
func Start(c net.Conn, cfg ClientConfig) (*Client, error) {
	client := &Client{Conn: NewConn(c, cfg.Limit)}
	client.out = appendStartup(client.out, cfg.params())
	if err := client.Flush(); err != nil {
		return nil, err
	}
	for {
		kind, body, err := client.ReadMessage()
		if err != nil {
			return nil, closedEarly(err)
		}
		switch kind {
		case msgAuthentication:
			if len(body) < 4 || be.Uint32(body) != 0 {
				return nil, Errorf(CodeAuthorization, "the server asks for a password, which this client does not have")
			}
		case msgParameterStatus:
			if err := client.status(body); err != nil {
				return nil, err
			}
		case msgError:
			return nil, decodeError(body)
		case msgReady:
			return client, nil
		case msgBackendKeyData, msgNotice:
		default:
			return nil, Errorf(CodeProtocol, "unexpected message %q during start-up", kind)
		}
	}
}

func (cfg ClientConfig) params() []Param {
	or := func(s, dflt string) string {
		if s == "" {
			return dflt
		}
		return s
	}
	params := []Param{{"user", or(cfg.User, "xenon")}, {"database", or(cfg.Database, "replication")}}
	if cfg.ApplicationName != "" {
		params = append(params, Param{"application_name", cfg.ApplicationName})
	}
	options := ""
	add := func(k, v string) {
		if options != "" {
			options += " "
		}
		options += "-c " + k + "=" + v
	}
	if cfg.TTID != (core.TTID{}) {
		add("tenant_id", cfg.TTID.Tenant.String())
		add("timeline_id", cfg.TTID.Timeline.String())
	}
	for _, o := range cfg.Options {
		add(o.Name, o.Value)
	}
	if options != "" {
		params = append(params, Param{"options", options})
	}
	return params
}

func (c *Client) status(body []byte) error {
	name, rest, ok := cutString(body)
	value, _, ok2 := cutString(rest)
	if !ok || !ok2 {
		return Errorf(CodeProtocol, "ParameterStatus of %d bytes is cut short", len(body))
	}
	c.Status = append(c.Status, Param{name, value})
	return nil
}

// A Result is what a simple query returned: the rows of its last statement
// that had any.
type Result struct {
	Columns []string
	Rows    [][][]byte // a nil value is NULL
	Tag     string
}

// Query runs a simple query and reads all of its result. An error of the
// server is an [*Error], after which the connection is still good.
func (c *Client) Query(sql string) (Result, error) {
	var res Result
	var failed error
	if err := c.sendQuery(sql); err != nil {
		return res, err
	}
	for {
		kind, body, err := c.ReadMessage()
		if err != nil {
			return res, wrapPeer(c.c, "read from", closedEarly(err))
		}
		switch kind {
		case msgRowDescription:
			err = res.columns(body)
		case msgDataRow:
			err = res.row(body)
		case msgCommandComplete:
			res.Tag, _, _ = cutString(body)
		case msgError:
			failed = decodeError(body)
		case msgReady:
			return res, failed
		case msgEmptyQuery, msgNotice, msgParameterStatus:
		default:
			err = Errorf(CodeProtocol, "unexpected message %q in the answer to a query", kind)
		}
		if err != nil {
			return res, err
		}
	}
}

func (c *Client) sendQuery(sql string) error {
	c.Queue(msgQuery, append([]byte(clean(sql)), 0))
	return wrapPeer(c.c, "write to", c.Flush())
}

func (r *Result) columns(body []byte) error {
	var d pgproto3.RowDescription
	if err := d.Decode(body); err != nil {
		return Errorf(CodeProtocol, "%v", err)
	}
	r.Columns, r.Rows = nil, nil
	for _, f := range d.Fields {
		r.Columns = append(r.Columns, string(f.Name))
	}
	return nil
}

// row copies a DataRow. It is decoded here: pgproto3 indexes out of range on
// a negative length.
func (r *Result) row(body []byte) error {
	bad := func() error { return Errorf(CodeProtocol, "DataRow of %d bytes is malformed", len(body)) }
	if len(body) < 2 {
		return bad()
	}
	n, b := int(be.Uint16(body)), body[2:]
	if n*4 > len(b) {
		return bad()
	}
	row := make([][]byte, n)
	for i := range row {
		if len(b) < 4 {
			return bad()
		}
		size := int32(be.Uint32(b))
		b = b[4:]
		if size == -1 {
			continue
		}
		if size < 0 || int(size) > len(b) {
			return bad()
		}
		row[i] = append([]byte{}, b[:size]...)
		b = b[size:]
	}
	r.Rows = append(r.Rows, row)
	return nil
}

// CopyBoth runs a command that turns the connection into a two-way stream,
// and returns once the server has agreed.
func (c *Client) CopyBoth(sql string) error {
	if err := c.sendQuery(sql); err != nil {
		return err
	}
	var failed error
	for {
		kind, body, err := c.ReadMessage()
		if err != nil {
			return wrapPeer(c.c, "read from", closedEarly(err))
		}
		switch kind {
		case msgCopyBoth:
			return nil
		case msgError:
			failed = decodeError(body)
		case msgReady:
			if failed == nil {
				failed = Errorf(CodeProtocol, "the server did not start a stream for %q", sql)
			}
			return failed
		case msgNotice, msgParameterStatus, msgCommandComplete, msgRowDescription, msgDataRow:
		default:
			return Errorf(CodeProtocol, "unexpected message %q instead of a stream", kind)
		}
	}
}

// ReadCopy returns the next CopyData body of the server, valid until the next
// call. io.EOF means that the server ended its side with CopyDone; an
// ErrorResponse is an [*Error], after which the stream is over.
func (c *Client) ReadCopy() ([]byte, error) {
	for {
		kind, body, err := c.ReadMessage()
		if err != nil {
			return nil, wrapPeer(c.c, "read from", closedEarly(err))
		}
		switch kind {
		case msgCopyData:
			return body, nil
		case msgCopyDone:
			return nil, io.EOF
		case msgError:
			return nil, decodeError(body)
		case msgNotice, msgParameterStatus:
		default:
			return nil, Errorf(CodeProtocol, "unexpected message %q in copy mode", kind)
		}
	}
}

// EndCopy ends our side of the stream, drops what the server still sends, and
// returns when it is ready for the next command.
func (c *Client) EndCopy() error {
	c.Queue(msgCopyDone, nil)
	if err := c.Flush(); err != nil {
		return wrapPeer(c.c, "write to", err)
	}
	var failed error
	for {
		kind, body, err := c.ReadMessage()
		if err != nil {
			return wrapPeer(c.c, "read from", closedEarly(err))
		}
		switch kind {
		case msgError:
			failed = decodeError(body)
		case msgReady:
			return failed
		}
	}
}

// Terminate says goodbye and closes the connection.
func (c *Client) Terminate() error {
	c.Queue(msgTerminate, nil)
	return errors.Join(c.Flush(), c.Close())
}

// text is the bytes of s up to its first NUL.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
