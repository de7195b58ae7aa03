package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A lan is hosts of their own on one machine: a network namespace for each,
// joined by a bridge. Who does not hear whom is a matter of routes.
type lan struct {
	t     *testing.T
	id    int // part of every name, and of the addresses 10.213.id.x
	hosts []string
}

// newLAN prepares the addresses of hosts. Until apart they are all on this
// machine's own loopback, so that one process may still have them all.
func newLAN(t *testing.T, hosts ...string) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: hosts of their own need root")
	}
	l := &lan{t: t, id: os.Getpid()%250 + 1, hosts: hosts}
	if err := l.possible(); err != nil {
		if os.Getenv("XENON_NO_SKIP") != "" {
			t.Fatal(err)
		}
		t.Skipf("skipped: %v", err)
	}
	t.Cleanup(l.remove)
	for _, h := range hosts {
		l.ip("address", "add", l.addr(h)+"/32", "dev", "lo")
	}
	return l
}

// possible tells why there can be no network namespaces here.
func (l *lan) possible() error {
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("no program %s: apt-get install iproute2 util-linux", program)
		}
	}
	if out, err := exec.Command("ip", "netns", "add", l.space("probe")).CombinedOutput(); err != nil {
		return fmt.Errorf("no network namespace can be made: %v: %s", err, out)
	}
	return exec.Command("ip", "netns", "delete", l.space("probe")).Run()
}

func (l *lan) space(host string) string { return fmt.Sprintf("xenon%d-%s", l.id, host) }

func (l *lan) bridge() string { return fmt.Sprintf("xn%dbr", l.id) }

// self is this machine's own address among the hosts.
func (l *lan) self() string { return fmt.Sprintf("10.213.%d.254", l.id) }

func (l *lan) addr(host string) string {
	for i, h := range l.hosts {
		if h == host {
			return fmt.Sprintf("10.213.%d.%d", l.id, i+1)
		}
	}
	l.t.Fatalf("no host %s", host)
	return ""
}

// apart gives every host its own namespace with its own address.
func (l *lan) apart() {
	l.t.Helper()
	l.ip("link", "add", l.bridge(), "type", "bridge")
	l.ip("address", "add", l.self()+"/24", "dev", l.bridge())
	l.ip("link", "set", l.bridge(), "up")
	for i, h := range l.hosts {
		outside, inside := fmt.Sprintf("xn%do%d", l.id, i), fmt.Sprintf("xn%di%d", l.id, i)
		l.ip("address", "delete", l.addr(h)+"/32", "dev", "lo")
		l.ip("netns", "add", l.space(h))
		l.ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", l.space(h))
		l.ip("link", "set", outside, "master", l.bridge(), "up")
		l.ip("-n", l.space(h), "link", "set", "lo", "up")
		l.ip("-n", l.space(h), "address", "add", l.addr(h)+"/24", "dev", inside)
		l.ip("-n", l.space(h), "link", "set", inside, "up")
	}
}

// cut makes b hear nothing from a; join undoes it.
func (l *lan) cut(a, b string) { l.ip("-n", l.space(a), "route", "replace", "blackhole", l.addr(b)) }

func (l *lan) join(a, b string) {
	// It may have been joined already.
	exec.Command("ip", "-n", l.space(a), "route", "delete", "blackhole", l.addr(b)).Run()
}

// joinAll ends every cut.
func (l *lan) joinAll() {
	for _, h := range l.hosts {
		exec.Command("ip", "-n", l.space(h), "route", "flush", "type", "blackhole").Run()
	}
}

// command is a program on a host. Its process is the program itself.
func (l *lan) command(host, program string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + l.space(host), program}, args...)...)
}

func (l *lan) remove() {
	for _, h := range l.hosts {
		exec.Command("ip", "netns", "delete", l.space(h)).Run()
		exec.Command("ip", "address", "delete", l.addr(h)+"/32", "dev", "lo").Run()
	}
	exec.Command("ip", "link", "delete", l.bridge()).Run()
}

func (l *lan) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
