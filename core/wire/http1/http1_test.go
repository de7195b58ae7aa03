package http1_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/wire/http1"
	"xenon/core/wire/port"
	"xenon/realio"
)

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		var v map[string]string
		if err := http1.ReadJSON(r, 1000, &v); err != nil {
			http1.WriteError(w, http.StatusBadRequest, err)
			return
		}
		http1.WriteJSON(w, v)
	})
	mux.HandleFunc("GET /chunks", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
		}
	})
	return mux
}

// listen serves both protocols on one port in production's world.
func listen(t *testing.T) (env.Env, *realio.Env, string) {
	e := realio.New(realio.Options{Grace: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	l, err := e.Net().Listen(e.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- port.Serve(e.Context(), e, l, port.Handlers{HTTP: handler()}) }()
	t.Cleanup(func() {
		e.Stop(errors.New("over"))
		if err := <-done; err == nil || err.Error() != "over" {
			t.Errorf("Serve returned %v", err)
		}
		e.Close()
	})
	return e, e, l.Addr().String()
}

func TestCall(t *testing.T) {
	e, real, addr := listen(t)
	var out map[string]string
	if err := http1.Call(real.Context(), e, addr, "POST", "/echo", map[string]string{"a": "b"}, &out); err != nil || out["a"] != "b" {
		t.Errorf("%v, %v", out, err)
	}
	var status *http1.StatusError
	if err := http1.Call(real.Context(), e, addr, "POST", "/echo", 7, nil); !errors.As(err, &status) || status.Status != 400 || !strings.Contains(status.Message, "POST /echo") {
		t.Errorf("bad body: %v", err)
	}
	if err := http1.Call(real.Context(), e, addr, "GET", "/none", nil, nil); !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("no such path: %v", err)
	}
	if b, err := http1.Do(real.Context(), e, addr, "GET", "/chunks", "", nil); err != nil || string(b) != "part 0\npart 1\npart 2\n" {
		t.Errorf("chunks: %q, %v", b, err)
	}
}

// The stock client of net/http understands us, over a connection that is kept.
func TestStockClient(t *testing.T) {
	_, _, addr := listen(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Post("http://"+addr+"/echo", "application/json", strings.NewReader(`{"x":"y"}`))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != "{\"x\":\"y\"}\n" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	_, _, addr := listen(t)
	tests := []struct{ name, say, want string }{
		{"no HTTP", "GARBAGE\r\n\r\n", "400 Bad Request"},
		{"endless header", "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 100_000), "431"},
		{"neither protocol", "\x16\x03\x01", ""},
	}
	for _, test := range tests {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, test.say)
		b, _ := io.ReadAll(c)
		c.Close()
		if test.want == "" && len(b) > 0 || !strings.Contains(string(b), test.want) {
			t.Errorf("%s: answered %q, want %q", test.name, b, test.want)
		}
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte("POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}"))
	f.Add([]byte("GET /chunks HTTP/1.0\r\n\r\n"))
	f.Add([]byte("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n"))
	e := realio.New(realio.Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		http1.Serve(e.Context(), e, &canned{say: strings.NewReader(string(b))}, handler())
	})
}

type canned struct {
	net.Conn
	say io.Reader
}

func (c *canned) Read(p []byte) (int, error)  { return c.say.Read(p) }
func (c *canned) Write(p []byte) (int, error) { return len(p), nil }
func (c *canned) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (c *canned) SetDeadline(time.Time) error { return nil }
