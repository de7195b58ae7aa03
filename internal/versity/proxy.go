package versity

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// A Proxy stands before a server and spoils some of its answers.
type Proxy struct {
	URL string

	next    *httputil.ReverseProxy
	rate    atomic.Int32 // spoilt requests in a thousand
	mu      sync.Mutex   // guards lot
	lot     lottery
	down    atomic.Bool
	struck  [misfortunes]atomic.Int64
	through atomic.Int64
}

// A misfortune is what befalls a request.
type misfortune int

const (
	busy    misfortune = iota // 503 SlowDown, nothing done
	fault                     // 500, nothing done
	refused                   // the connection ends, nothing done
	unheard                   // it is done, and the connection ends
	cut                       // half of the answer comes
	misfortunes
)

// NewProxy stands before the server at url until the test ends.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{next: httputil.NewSingleHostReverseProxy(u)}
	p.next.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// A lottery draws one request out of each group, so that not many fewer are
// drawn than there should be, however few there are.
type lottery struct{ left, drawn int }

func (l *lottery) draws(perMille int) bool {
	if perMille == 0 {
		return false
	}
	if l.left == 0 {
		l.left = max(1000/perMille, 1)
		l.drawn = 1 + rand.IntN(l.left)
	}
	l.left--
	return l.left+1 == l.drawn
}

func (p *Proxy) spoils() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lot.draws(int(p.rate.Load()))
}

// Spoil spoils so many requests in a thousand from now on.
func (p *Proxy) Spoil(perMille int) { p.rate.Store(int32(perMille)) }

// Down makes the server answer nobody, or lets it answer again.
func (p *Proxy) Down(down bool) { p.down.Store(down) }

// Struck is how many requests were spoilt, and of how many.
func (p *Proxy) Struck() (spoilt, all int64) {
	for i := range p.struck {
		spoilt += p.struck[i].Load()
	}
	return spoilt, spoilt + p.through.Load()
}

// ServeHTTP hands a request on, or does not.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.down.Load() {
		panic(http.ErrAbortHandler) // ends the connection
	}
	if !p.spoils() {
		p.through.Add(1)
		p.next.ServeHTTP(w, r)
		return
	}
	what := misfortune(rand.IntN(int(misfortunes)))
	p.struck[what].Add(1)
	switch what {
	case busy:
		fail(w, http.StatusServiceUnavailable, "SlowDown")
	case fault:
		fail(w, http.StatusInternalServerError, "InternalError")
	case refused:
		panic(http.ErrAbortHandler)
	case unheard:
		p.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case cut:
		p.next.ServeHTTP(&halfWriter{ResponseWriter: w, left: -1}, r)
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>Spoilt.</Message></Error>`, code)
}

// A halfWriter ends the connection in the middle of a body.
type halfWriter struct {
	http.ResponseWriter
	left int // bytes to come; below 0 before it is known
}

func (h *halfWriter) Write(b []byte) (int, error) {
	if h.left < 0 {
		h.left = len(b) / 2
		if n, err := strconv.Atoi(h.Header().Get("Content-Length")); err == nil {
			h.left = n / 2
		}
	}
	if len(b) <= h.left {
		h.left -= len(b)
		return h.ResponseWriter.Write(b)
	}
	h.ResponseWriter.Write(b[:h.left])
	if f, ok := h.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// Unwrap is for http.ResponseController.
func (h *halfWriter) Unwrap() http.ResponseWriter { return h.ResponseWriter }

var _ io.Writer = (*halfWriter)(nil)
