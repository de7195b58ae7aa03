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
	if got, err := firstFree("127.0.0.1", taken, func(p int) bool { return p == taken+1 }); err != nil || got <= taken+1 {
		t.Errorf("first free port from %d on, %d being given away: %d, %v", taken, taken+1, got, err)
	}
}

// TestForeignAddress: other ports do not help where the address is not ours.
func TestForeignAddress(t *testing.T) {
	const documentation = "192.0.2.1" // RFC 5737: nobody's
	if _, err := firstFree(documentation, DefaultPort, func(int) bool { return false }); err == nil || errors.Is(err, errPort) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("listen on somebody else's address: %v", err)
	}
}
