package up

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"xenon/cmd/xenon/internal/role"
)

// ports are those on which servers of this installation listen, or soon will.
// Between the choice of a port and the server that binds it, another
// installation could choose the same, and one of the two servers would never
// start. So a port is marked, for as long as it is ours, by a socket in the
// abstract namespace: that is as wide as the one of ports, belongs to all users,
// and forgets whoever dies.
type ports struct {
	host string

	mu   sync.Mutex
	held map[int]net.Listener
}

func newPorts(host string) *ports { return &ports{host: host, held: map[int]net.Listener{}} }

// take makes a port ours, or says why it cannot be. It may be ours already.
func (p *ports) take(port int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := bindable(p.host, port); err != nil || p.held[port] != nil {
		return err
	}
	l, err := net.Listen("unix", fmt.Sprintf("@xenon/port/%d", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is taken by another xenon: %w", port, errPort)
	}
	if err != nil {
		return nil // a kernel that cannot: only the mark is missing
	}
	p.held[port] = l
	return nil
}

// keep gives away all ports but those that are used.
func (p *ports) keep(used func(port int) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, l := range p.held {
		if !used(port) {
			l.Close()
			delete(p.held, port)
		}
	}
}

// firstFree takes the first port from one on that can be had and is not given
// away.
func (p *ports) firstFree(from int, given func(port int) bool) (int, error) {
	for port := from; port < from+1000 && port <= 65535; port++ {
		if given(port) {
			continue
		}
		switch err := p.take(port); {
		case err == nil:
			return port, nil
		case !errors.Is(err, errPort):
			return 0, err // it is the same with every port
		}
	}
	return 0, fmt.Errorf("no free port from %d on: choose one with --port N", from)
}

// errPort reports a port that cannot be had, where others can.
var errPort = errors.New("choose another with --port N")

// bindable says why nobody can listen on a port, or nil.
func bindable(host string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(role.ConnectHost(host), strconv.Itoa(port)))
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d on %s is taken: %w", port, host, errPort)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %d on %s may not be used by this user: %w", port, host, errPort)
	}
	return fmt.Errorf("cannot listen on %s: %w: name an address of this machine with --listen", host, err)
}

// firstForAll is the first port that is not for root alone.
func firstForAll() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return 1024
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 1024
	}
	return n
}
