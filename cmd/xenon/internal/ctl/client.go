package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"xenon/cmd/xenon/internal/home"
)

// maxSocketPath is sun_path without its zero byte (sys/un.h).
const maxSocketPath = 107

// Listen makes a Unix socket that its owner alone can use. Its name may be
// longer than the kernel takes: it is then bound by way of its directory's
// descriptor.
func Listen(name string) (net.Listener, error) {
	short, done, err := shorten(name)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", name, err)
	}
	return l, os.Chmod(name, 0o600)
}

// shorten finds a name of the socket that fits into a socket's address.
func shorten(name string) (short string, done func(), err error) {
	if len(name) <= maxSocketPath {
		return name, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(name)), func() { dir.Close() }, nil
}

// notRunning says that nobody takes commands for a directory.
func notRunning(dir string) error {
	return fmt.Errorf("no xenon runs in %s: start it with xenon up --dir %s", dir, dir)
}

// Call sends a command to the running installation in dir: body as JSON
// unless it is nil, the answer into out unless that is nil.
func Call(ctx context.Context, dir, method, path string, body, out any) error {
	if home.Holder(dir) == 0 {
		return notRunning(dir)
	}
	return CallSocket(ctx, home.Socket(dir), method, path, body, out)
}

// Open is Call for something that lasts until the connection ends, which is
// what Close does, or the end of this process.
func Open(ctx context.Context, dir, path string, body, out any) (io.Closer, error) {
	if home.Holder(dir) == 0 {
		return nil, notRunning(dir)
	}
	res, err := send(ctx, home.Socket(dir), "POST", path, body)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("ask %s: %w", home.Socket(dir), err)
	}
	return res.Body, nil
}

// AwaitReady is the query parameter by which a question to a compute's socket
// is answered once its endpoint is ready or never will be, and after
// [AwaitReadyFor] at the latest.
const AwaitReady = "await_ready"

// AwaitReadyFor is short of the patience of who asks.
const AwaitReadyFor = time.Second

// CallSocket sends a command to whoever listens on a socket.
func CallSocket(ctx context.Context, socket, method, path string, body, out any) error {
	res, err := send(ctx, socket, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", socket, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// send sends a command and returns an answer that is no error.
func send(ctx context.Context, socket, method, path string, body any) (*http.Response, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://xenon"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	res, err := client(socket).Do(req)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("ask %s: %w: commands are taken from root and from the user who started xenon there", socket, fs.ErrPermission)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", socket, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", socket, err)
	}
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &e) != nil || e.Error == "" {
		e.Error = res.Status
	}
	return nil, errors.New(e.Error)
}

func client(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			short, done, err := shorten(socket)
			if err != nil {
				return nil, err
			}
			defer done()
			return (&net.Dialer{}).DialContext(ctx, "unix", short)
		},
	}}
}

// WriteJSON answers a command.
func WriteJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// WriteError answers a command with an error.
func WriteError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
