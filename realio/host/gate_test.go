package host

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"xenon/compute"
	"xenon/realio"
)

// TestGate: an answer passes while the lease holds, waits once it has ended,
// and passes when it is extended; closing the gate ends those that wait.
func TestGate(t *testing.T) {
	e := realio.New(realio.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	defer e.Close()
	public, err := unusedPort()
	if err != nil {
		t.Fatal(err)
	}
	long := compute.Bound{End: e.Clock().Mono().Add(time.Hour)}
	g, private, err := openGate(e, loopback, public, long)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	server, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(private)))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	c, err := net.Dial("tcp", net.JoinHostPort(loopback, strconv.Itoa(public)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := bufio.NewReader(c)
	ask := func() { fmt.Fprintln(c, "x") }
	answer := func(patience time.Duration) error {
		c.SetReadDeadline(time.Now().Add(patience))
		_, err := lines.ReadString('\n')
		return err
	}
	ask()
	if err := answer(time.Minute); err != nil {
		t.Fatal(err)
	}
	g.extend(e.Clock().Mono())
	ask()
	if err := answer(200 * time.Millisecond); err == nil {
		t.Fatal("an answer passed without a lease")
	}
	g.extend(long.End)
	if err := answer(time.Minute); err != nil {
		t.Fatal(err)
	}
	g.extend(e.Clock().Mono())
	ask()
	g.close()
	if err := answer(time.Minute); err == nil {
		t.Fatal("an answer passed through a closed gate")
	}
}
