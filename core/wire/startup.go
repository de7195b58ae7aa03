package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"xenon/core"
)

// Codes in the place of a protocol version (src/include/libpq/pqcomm.h).
const (
	protocolMajor  = 3
	protocol30     = 3 << 16
	cancelRequest  = 80877102
	sslRequest     = 80877103
	gssRequest     = 80877104
	startupLimit   = 10000 // MAX_STARTUP_PACKET_LENGTH
	startupTries   = 3     // SSL and GSS requests before the real one
	startupMinimum = 4
)

// Message types that this package handles itself
// (src/include/libpq/protocol.h as of 17).
const (
	msgAuthentication  = 'R'
	msgBackendKeyData  = 'K'
	msgCommandComplete = 'C'
	msgCopyBoth        = 'W'
	msgCopyData        = 'd'
	msgCopyDone        = 'c'
	msgCopyFail        = 'f'
	msgCopyOut         = 'H'
	msgDataRow         = 'D'
	msgEmptyQuery      = 'I'
	msgError           = 'E'
	msgNotice          = 'N'
	msgParameterStatus = 'S'
	msgQuery           = 'Q'
	msgReady           = 'Z'
	msgRowDescription  = 'T'
	msgSync            = 'S'
	msgTerminate       = 'X'
)

// A Param is one name and value of a start-up message, in the order sent.
type Param struct{ Name, Value string }

// Startup is what a client said before its first command.
type Startup struct {
	Params  []Param
	Options []Param // the k=v words of the parameter "options"
}

// Param finds a start-up parameter, "" if there is none.
func (s *Startup) Param(name string) string { return lookup(s.Params, name) }

// Option finds a word k=v of the options, "" if there is none.
func (s *Startup) Option(name string) string { return lookup(s.Options, name) }

func lookup(list []Param, name string) string {
	for _, p := range list {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// TTID reads the options tenant_id and timeline_id; both must be there.
func (s *Startup) TTID() (id core.TTID, err error) {
	tenant, timeline := s.Option("tenant_id"), s.Option("timeline_id")
	if tenant == "" || timeline == "" {
		return id, Errorf(CodeInvalid, "options must name tenant_id and timeline_id, as in options='-c tenant_id=HEX -c timeline_id=HEX'")
	}
	if id.Tenant, err = core.ParseTenantID(tenant); err != nil {
		return id, &Error{Code: CodeInvalid, Message: err.Error()}
	}
	if id.Timeline, err = core.ParseTimelineID(timeline); err != nil {
		return id, &Error{Code: CodeInvalid, Message: err.Error()}
	}
	return id, nil
}

// ParseOptions finds the words k=v of an options string, as in
// "-c tenant_id=… timeline_id=…". The -c before a word may be left out, and
// may touch it.
func ParseOptions(s string) []Param {
	var out []Param
	for word := range strings.FieldsSeq(s) {
		word = strings.TrimPrefix(word, "-c")
		word = strings.TrimPrefix(word, "--")
		if k, v, ok := strings.Cut(word, "="); ok {
			out = append(out, Param{k, v})
		}
	}
	return out
}

// readStartup reads start-up packets until the one that opens a session,
// answering requests for encryption with N.
func readStartup(c *Conn) (Startup, uint32, error) {
	for range startupTries {
		code, body, err := c.readPacket()
		if err != nil {
			return Startup{}, 0, err
		}
		switch {
		case code == sslRequest || code == gssRequest:
			if _, err := c.c.Write([]byte{'N'}); err != nil {
				return Startup{}, 0, err
			}
		case code == cancelRequest:
			return Startup{}, 0, Errorf(CodeUnsupported, "cancel requests are not supported here")
		case code>>16 == protocolMajor:
			s, err := decodeStartup(body)
			return s, code, err
		default:
			return Startup{}, 0, Errorf(CodeProtocol, "protocol version %d.%d is not supported, only 3.0", code>>16, code&0xFFFF)
		}
	}
	return Startup{}, 0, Errorf(CodeProtocol, "too many requests for encryption before the start-up message")
}

// readPacket reads a message without a type byte: length, code, body.
func (c *Conn) readPacket() (code uint32, body []byte, err error) {
	if err := c.fill(8); err != nil {
		return 0, nil, err
	}
	n, err := bodyLength(c.in[c.r:], startupLimit)
	if err != nil {
		return 0, nil, Errorf(CodeProtocol, "start-up packet: %v", err)
	}
	if n < startupMinimum {
		return 0, nil, Errorf(CodeProtocol, "start-up packet of %d bytes has no protocol version", n)
	}
	if err := c.fill(4 + n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	code = be.Uint32(c.in[c.r+4:])
	body = c.in[c.r+8 : c.r+4+n]
	c.r += 4 + n
	return code, body, nil
}

func decodeStartup(b []byte) (s Startup, err error) {
	for {
		name, rest, ok := cutString(b)
		if !ok {
			return s, Errorf(CodeProtocol, "start-up message: parameter list is cut short")
		}
		if name == "" {
			break
		}
		value, rest, ok := cutString(rest)
		if !ok {
			return s, Errorf(CodeProtocol, "start-up message: parameter %q has no value", name)
		}
		s.Params = append(s.Params, Param{name, value})
		b = rest
	}
	s.Options = ParseOptions(s.Param("options"))
	return s, nil
}

// cutString takes a NUL-terminated string off the front of b.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", b, false
	}
	return string(b[:i]), b[i+1:], true
}

// appendStartup encodes a start-up message; the order of params is kept, so
// that equal clients send equal bytes.
func appendStartup(dst []byte, params []Param) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = be.AppendUint32(dst, protocol30)
	for _, p := range params {
		dst = append(dst, clean(p.Name)...)
		dst = append(dst, 0)
		dst = append(dst, clean(p.Value)...)
		dst = append(dst, 0)
	}
	dst = append(dst, 0)
	be.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// peerName is who is at the other end, for messages.
func peerName(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil {
		return a.String()
	}
	return "peer"
}

func wrapPeer(c net.Conn, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, peerName(c), err)
}
