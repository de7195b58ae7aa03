package realio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/realio"
)

// joined is an Env with a loopback.
func joined(t testing.TB, lo *realio.Loopback) *realio.Env {
	e := realio.New(realio.Options{Loopback: lo, Grace: 100 * time.Millisecond})
	t.Cleanup(func() { e.Close() })
	return e
}

// pair is both ends of a connection of e with itself.
func pair(t testing.TB, e *realio.Env) (here, there net.Conn) {
	t.Helper()
	l, err := e.Net().Listen(e.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if here, err = e.Net().Dial(e.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return here, there
}

// TestLoopbackReaches: who shares a loopback meets in memory, everybody else at
// the socket, and one listener accepts both.
func TestLoopbackReaches(t *testing.T) {
	lo := new(realio.Loopback)
	server, friend, stranger := joined(t, lo), joined(t, lo), joined(t, nil)
	for _, addr := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
		l, err := server.Net().Listen(server.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		if a := l.Addr(); a.Network() == "tcp" {
			addr = a.String()
		}
		for e, want := range map[*realio.Env]bool{friend: true, stranger: false} {
			c, err := e.Net().Dial(e.Context(), addr)
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got := s.RemoteAddr().Network() == "memory"; got != want {
				t.Errorf("%s: in memory %v, want %v", addr, got, want)
			}
			if _, err := io.WriteString(c, "hello"); err != nil {
				t.Error(err)
			}
			c.Close()
			if b, err := io.ReadAll(s); string(b) != "hello" || err != nil {
				t.Errorf("%s: %q, %v", addr, b, err)
			}
			s.Close()
		}
		l.Close()
		if _, err := friend.Net().Dial(friend.Context(), addr); !errors.Is(err, env.ErrConnRefused) {
			t.Errorf("dial of a closed listener: %v", err)
		}
	}
}

// TestLoopbackBacklog: what nobody accepts ends with the listener, and dials
// beyond the backlog take the socket.
func TestLoopbackBacklog(t *testing.T) {
	e := joined(t, new(realio.Loopback))
	l, err := e.Net().Listen(e.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var inMemory []net.Conn
	for {
		c, err := e.Net().Dial(e.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if c.LocalAddr().Network() != "memory" {
			break
		}
		if inMemory = append(inMemory, c); len(inMemory) > 10_000 {
			t.Fatal("the backlog has no bound")
		}
	}
	l.Close()
	for _, c := range inMemory {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, env.ErrConnReset) {
			t.Fatalf("a connection that nobody accepted: %v", err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed listener: %v", err)
	}
}

// TestMemoryStream: a stream of writes and reads of any sizes keeps its bytes,
// whole vectors among them.
func TestMemoryStream(t *testing.T) {
	e := joined(t, new(realio.Loopback))
	c, s := pair(t, e)
	r := rand.New(rand.NewPCG(1, 2))
	sent := make([]byte, 8<<20)
	for i := range sent {
		sent[i] = byte(r.Uint32())
	}
	e.Go("writer", func(context.Context) {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), r.IntN(1<<r.IntN(20)+1))
			if cut := n / 3; r.IntN(2) == 0 {
				c.(env.StreamConn).WriteBuffers(&net.Buffers{rest[:cut], rest[cut:n]})
			} else {
				c.Write(rest[:n])
			}
			rest = rest[n:]
		}
		c.Close()
	})
	var got bytes.Buffer
	sizes := rand.New(rand.NewPCG(3, 4))
	for {
		p := make([]byte, sizes.IntN(1<<sizes.IntN(20)+1))
		n, err := s.Read(p)
		got.Write(p[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("%d bytes arrived, other than the %d sent", got.Len(), len(sent))
	}
}

// TestDeadlinePutOff: a deadline that is put off before it passes, as with
// every message, does not end a read; the one that stays does.
func TestDeadlinePutOff(t *testing.T) {
	e := joined(t, new(realio.Loopback))
	c, s := pair(t, e)
	e.Go("writer", func(ctx context.Context) {
		for range 6 {
			e.Clock().Sleep(ctx, 50*time.Millisecond)
			s.Write([]byte{1})
		}
	})
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // the timer is set for this
	for i := range 6 {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatalf("read %d: %v", i, err)
		}
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, env.ErrTimeout) {
		t.Errorf("after the deadline: %v", err)
	}
}

// TestMemoryAllocates: a message there and back allocates nothing.
func TestMemoryAllocates(t *testing.T) {
	c, s := pair(t, joined(t, new(realio.Loopback)))
	b := make([]byte, 1000)
	if n := testing.AllocsPerRun(100, func() {
		c.Write(b)
		io.ReadFull(s, b)
		s.Write(b)
		io.ReadFull(c, b)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkConn is one small message there and back, each end a task.
func BenchmarkConn(b *testing.B) {
	for name, lo := range map[string]*realio.Loopback{"memory": new(realio.Loopback), "socket": nil} {
		b.Run(name, func(b *testing.B) {
			e := joined(b, lo)
			c, s := pair(b, e)
			e.Go("echo", func(context.Context) { io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s}) })
			msg := make([]byte, 200)
			b.ReportAllocs()
			for b.Loop() {
				c.Write(msg)
				if _, err := io.ReadFull(c, msg); err != nil {
					b.Fatal(err)
				}
			}
			c.Close()
		})
	}
}
