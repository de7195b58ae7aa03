package http1

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/xsync"
)

const (
	answerLimit = 64 << 20 // bytes of a JSON answer
	callTimeout = 60 * time.Second
	// connectTimeout is how long a host may take to answer the first packet: two of
	// those that follow when it is lost, after one and three seconds. A host without
	// power answers none.
	connectTimeout = 5 * time.Second
)

// A StatusError is an answer with a status of 400 or more.
type StatusError struct {
	Addr, Path string
	Status     int
	Message    string // the member "msg" of the body if it has one, else the body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s%s: %s (HTTP status %d)", e.Addr, e.Path, e.Message, e.Status)
}

// Call sends one request to addr on a connection of its own, with in as JSON
// unless it is nil, and reads the JSON answer into out unless that is nil. It
// ends with ctx, after a minute, or when there is no connection after a few
// seconds.
func Call(ctx context.Context, e env.Env, addr, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s%s: %w", addr, path, err)
		}
	}
	answer, err := Do(ctx, e, addr, method, path, "application/json", body)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s%s: answer is not the JSON expected: %w", addr, path, err)
	}
	return nil
}

// Do sends one request and returns the body of the answer. A status of 400 or
// more is a [*StatusError].
func Do(ctx context.Context, e env.Env, addr, method, path, contentType string, body []byte) ([]byte, error) {
	ctx, cancel := xsync.WithTimeout(ctx, e, callTimeout)
	defer cancel()
	c, err := dial(ctx, e, addr)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", addr, path, err)
	}
	defer c.Close()
	defer wire.CloseOn(ctx, c)()
	answer, err := exchange(c, addr, method, path, contentType, body)
	if err != nil && ctx.Err() != nil {
		err = xsync.Cause(ctx)
	}
	var status *StatusError
	if err != nil && !errors.As(err, &status) {
		err = fmt.Errorf("%s%s: %w", addr, path, err)
	}
	return answer, err
}

func dial(ctx context.Context, e env.Env, addr string) (net.Conn, error) {
	part, cancel := xsync.WithTimeout(ctx, e, connectTimeout)
	defer cancel()
	c, err := e.Net().Dial(part, addr)
	if err != nil && part.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no connection within %s: %w", connectTimeout, env.ErrTimeout)
	}
	return c, err
}

func exchange(c io.ReadWriter, addr, method, path, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, "http://"+hostOf(addr)+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Close = true
	if len(body) > 0 {
		req.Header.Set("Content-Type", contentType)
	}
	w := bufio.NewWriter(c)
	if err := req.Write(w); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return nil, err
	}
	if len(answer) > answerLimit {
		return nil, fmt.Errorf("answer exceeds %d bytes", answerLimit)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, &StatusError{Addr: addr, Path: path, Status: resp.StatusCode, Message: messageOf(answer)}
	}
	return answer, nil
}

// hostOf makes a Host header of an address; a Unix socket has none.
func hostOf(addr string) string {
	if len(addr) > 5 && addr[:5] == "unix:" {
		return "localhost"
	}
	return addr
}

func messageOf(body []byte) string {
	var m struct{ Msg string }
	if json.Unmarshal(body, &m) == nil && m.Msg != "" {
		return m.Msg
	}
	return string(bytes.TrimSpace(body))
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		WriteError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

// WriteError answers with {"msg": …}, the form of errors in every management
// interface.
func WriteError(w http.ResponseWriter, status int, err error) {
	b, _ := json.Marshal(map[string]string{"msg": err.Error()})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// ReadJSON reads a request's body of at most limit bytes into v; members that
// v does not have are errors.
func ReadJSON(r *http.Request, limit int64, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, limit))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("body of %s %s (at most %d bytes of JSON): %w", r.Method, r.URL.Path, limit, err)
	}
	return nil
}
