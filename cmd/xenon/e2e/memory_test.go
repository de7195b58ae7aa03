package e2e_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestRolesTalkInMemory: in one process no connection between roles is a
// socket's; as processes of their own all are.
func TestRolesTalkInMemory(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) {
			in := install(t, layout.args...)
			in.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
			s := in.status()
			n := 0
			for _, k := range s.Safekeepers {
				n += established(t, k.Listen)
			}
			n += established(t, s.Pageservers[0].Listen)
			if got, want := n > 0, len(layout.args) > 0; got != want {
				t.Errorf("%d connections through sockets to safekeepers and pageserver", n)
			}
		})
	}
}

// established counts the connections that a listener on this machine has
// (/proc/net/tcp, see proc(5)).
func established(t *testing.T, listen string) (n int) {
	t.Helper()
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const stateEstablished = "01"
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == stateEstablished && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) {
			n++
		}
	}
	return n
}
