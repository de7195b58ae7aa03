package up

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if err := bindable("127.0.0.1", taken); !errors.Is(err, errPort) || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("a port that is taken: %v", err)
	}
	p := newPorts("127.0.0.1")
	defer p.keep(func(int) bool { return false })
	if got, err := p.firstFree(taken, func(p int) bool { return p == taken+1 }); err != nil || got <= taken+1 {
		t.Errorf("first free port from %d on, %d being given away: %d, %v", taken, taken+1, got, err)
	}
}

// TestForeignAddress: other ports do not help where the address is not ours.
func TestForeignAddress(t *testing.T) {
	const documentation = "192.0.2.1" // RFC 5737: nobody's
	if _, err := newPorts(documentation).firstFree(DefaultPort, func(int) bool { return false }); err == nil || errors.Is(err, errPort) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("listen on somebody else's address: %v", err)
	}
}

// TestPortsOfTwoInstallations: nobody listens yet, and yet no two have a port.
func TestPortsOfTwoInstallations(t *testing.T) {
	none := func(int) bool { return false }
	a, b := newPorts("127.0.0.1"), newPorts("127.0.0.1")
	defer a.keep(none)
	defer b.keep(none)
	port, err := a.firstFree(DefaultPort+2000, none)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.take(port); err != nil {
		t.Errorf("one's own port once more: %v", err)
	}
	if err := b.take(port); !errors.Is(err, errPort) || !strings.Contains(err.Error(), "another xenon") {
		t.Errorf("the other one's port: %v", err)
	}
	if other, err := b.firstFree(port, none); err != nil || other == port {
		t.Errorf("both have port %d: %v", other, err)
	}
	a.keep(none)
	if err := b.take(port); err != nil {
		t.Errorf("a port that was given away: %v", err)
	}
}
