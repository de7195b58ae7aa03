package wire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgproto3/v2"
)

// SQLSTATEs that this project sends (src/backend/utils/errcodes.txt).
const (
	CodeSuccess       = "00000" // Neon: the server ends a stream in order
	CodeConnection    = "08006" // the client is to connect again
	CodeProtocol      = "08P01"
	CodeUnsupported   = "0A000"
	CodeSyntax        = "42601"
	CodeUndefined     = "42704"
	CodeNotReady      = "55000" // object_not_in_prerequisite_state
	CodeInvalid       = "22023" // invalid_parameter_value
	CodeMissingFile   = "58P01" // undefined_file: what stock says of a WAL segment that is gone
	CodeAuthorization = "28000"
	CodeShutdown      = "57P01"
	CodeCannotConnect = "57P03"
	CodeDiskFull      = "53100"
	CodeCorrupt       = "XX001"
	CodeInternal      = "XX000"
)

// An Error is an ErrorResponse: what a server sends, and what a client
// returns when it received one.
type Error struct {
	Code    string // SQLSTATE
	Message string
	Detail  string
	Hint    string
}

func (e *Error) Error() string {
	s := e.Message
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	if e.Hint != "" {
		s += "; hint: " + e.Hint
	}
	if e.Code != "" && e.Code != CodeInternal {
		s += " [SQLSTATE " + e.Code + "]"
	}
	return s
}

// Errorf makes an Error with a SQLSTATE.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError finds the Error in err's chain. Any other error becomes one with
// SQLSTATE XX000 and its text; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Error() == err.Error() {
			return e
		}
		return &Error{Code: e.Code, Message: err.Error()}
	}
	return &Error{Code: CodeInternal, Message: err.Error()}
}

// QueueError queues an ErrorResponse for err.
func (c *Conn) QueueError(err error) {
	e := AsError(err)
	c.queue(&pgproto3.ErrorResponse{
		Severity: "ERROR", SeverityUnlocalized: "ERROR",
		Code: clean(e.Code), Message: clean(e.Message), Detail: clean(e.Detail), Hint: clean(e.Hint),
	})
}

// clean takes out the NUL that would end a field early.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

func decodeError(body []byte) error {
	var r pgproto3.ErrorResponse
	if err := r.Decode(body); err != nil {
		return fmt.Errorf("ErrorResponse of %d bytes is cut short: %w", len(body), err)
	}
	return &Error{Code: r.Code, Message: r.Message, Detail: r.Detail, Hint: r.Hint}
}
