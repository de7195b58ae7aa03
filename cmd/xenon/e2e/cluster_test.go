package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/cli/exit"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
	"xenon/core/pageserver"
)

// A machine is one role of a [cluster] on a host of its own.
type machine struct {
	c    *cluster
	name string // also of its host and its configuration
	kind string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process ended
	down bool          // nobody starts it meanwhile
	held int           // how many pauses it is in
	over bool          // it was superseded, and stays away
	runs int
}

// A cluster is the roles of one installation on hosts of a [lan], each a
// process that is started again whenever it ends.
type cluster struct {
	t        *testing.T
	in       *installation
	lan      *lan
	id       core.TTID
	machines []*machine // safekeepers, pageserver, computes
	disks    map[string]*faultyDisk
	halt     chan struct{}
	tending  sync.WaitGroup
}

var (
	keeperHosts  = []string{"safekeeper-1", "safekeeper-2", "safekeeper-3"}
	pagesHost    = "pageserver-1"
	computeHosts = []string{"compute-main", "compute-other"}
)

const (
	keeperPort = 6500
	pagesPort  = 6600
)

// newCluster makes an installation with a table of keys, takes it apart into
// hosts, and starts everything but the computes. settings are keys and values
// of TOML that both computes get.
func newCluster(t *testing.T, settings map[string]string, args ...string) *cluster {
	t.Helper()
	needs(t)
	hosts := append(append([]string{}, keeperHosts...), append([]string{pagesHost}, computeHosts...)...)
	c := &cluster{t: t, lan: newLAN(t, hosts...), halt: make(chan struct{})}
	c.in = c.firstRun(append([]string{"--processes"}, args...))
	c.lan.apart()
	c.configure(settings)
	c.disks = map[string]*faultyDisk{}
	for _, h := range append([]string{pagesHost}, keeperHosts...) {
		c.disks[h] = faulty(t, filepath.Join(c.in.dir, h))
	}
	for _, h := range hosts {
		kind, _, _ := strings.Cut(h, "-")
		c.machines = append(c.machines, &machine{c: c, name: h, kind: kind, down: kind == "compute"})
	}
	t.Cleanup(c.end)
	c.tending.Go(c.tend)
	return c
}

// firstRun makes the installation, and runs it once more at the addresses that
// its hosts will have.
func (c *cluster) firstRun(args []string) *installation {
	c.t.Helper()
	in := install(c.t, args...)
	in.sql(keysTable)
	for _, b := range in.status().Branches {
		if b.Name == "main" {
			c.id = core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}
		}
	}
	in.must("stop")
	layout := filepath.Join(in.dir, "conf", "layout.toml")
	b, err := os.ReadFile(layout)
	if err != nil {
		c.t.Fatal(err)
	}
	b = regexp.MustCompile(`(?m)^pageserver = .*$`).ReplaceAll(b, fmt.Appendf(nil, "pageserver = '%s:%d'", c.lan.addr(pagesHost), pagesPort))
	for i, h := range keeperHosts {
		b = regexp.MustCompile(fmt.Sprintf(`(?m)^(id = %d\nlisten = ).*$`, i+1)).ReplaceAll(b, fmt.Appendf(nil, "${1}'%s:%d'", c.lan.addr(h), keeperPort))
	}
	if err := os.WriteFile(layout, b, 0o600); err != nil {
		c.t.Fatal(err)
	}
	in.start()
	in.must("stop")
	return in
}

func (c *cluster) conf(name string) string { return filepath.Join(c.in.dir, "conf", name+".toml") }

// configure gives the second compute a file of its own, and both the settings.
func (c *cluster) configure(settings map[string]string) {
	c.t.Helper()
	main, other := computeHosts[0], computeHosts[1]
	b, err := os.ReadFile(c.conf(main))
	if err != nil {
		c.t.Fatal(err)
	}
	for key, value := range settings {
		b = append(fmt.Appendf(nil, "%s = %s\n", key, value), regexp.MustCompile(`(?m)^`+key+` = .*\n`).ReplaceAll(b, nil)...)
	}
	if err := os.WriteFile(c.conf(main), b, 0o600); err != nil {
		c.t.Fatal(err)
	}
	for _, key := range []string{"name", "owner", "dir", "run_dir"} {
		b = regexp.MustCompile(`(?m)^(`+key+` = '.*)main'$`).ReplaceAll(b, []byte("${1}other'"))
	}
	if !bytes.Contains(b, []byte("name = 'other'")) {
		c.t.Fatalf("no second compute in\n%s", b)
	}
	if err := os.MkdirAll(filepath.Join(c.in.dir, "compute", "other"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(c.conf(other), b, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) machine(name string) *machine {
	for _, m := range c.machines {
		if m.name == name {
			return m
		}
	}
	c.t.Fatalf("no machine %s", name)
	return nil
}

// kinds lists the machines of a kind.
func (c *cluster) kinds(kind string) (list []*machine) {
	for _, m := range c.machines {
		if m.kind == kind {
			list = append(list, m)
		}
	}
	return list
}

// tend starts what has ended, and tells a pageserver to serve main that does
// not.
func (c *cluster) tend() {
	for {
		for _, m := range c.machines {
			if err := m.start(false); err != nil {
				c.t.Errorf("start %s: %v", m.name, err)
				return
			}
		}
		c.attach()
		select {
		case <-c.halt:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// attach makes the pageserver serve main, as an operator does for one that lost
// its disk.
func (c *cluster) attach() {
	var keepers []string
	for _, h := range keeperHosts {
		keepers = append(keepers, fmt.Sprintf("%s:%d", c.lan.addr(h), keeperPort))
	}
	d := &shared{id: c.id, at: map[string]string{pagesHost: fmt.Sprintf("%s:%d", c.lan.addr(pagesHost), pagesPort)}}
	if _, err := d.info(pagesHost); err != nil {
		_ = d.ask(pagesHost, "POST", "", pageserver.AttachRequest{Timeline: c.id.Timeline, Safekeepers: keepers}, nil)
	}
}

// end takes everything away.
func (c *cluster) end() {
	close(c.halt)
	c.tending.Wait()
	c.lan.joinAll()
	for i := len(c.machines) - 1; i >= 0; i-- {
		m := c.machines[i]
		m.thaw(true)
		m.signal(syscall.SIGTERM)
		if !m.await(patience) {
			c.t.Errorf("%s did not end after SIGTERM", m.name)
			m.signal(syscall.SIGKILL)
			m.await(patience)
		}
		if c.t.Failed() {
			b, _ := os.ReadFile(m.log())
			c.t.Logf("the log of %s:\n%s", m.name, tail(string(b), 3000))
		}
	}
}

func (m *machine) log() string { return filepath.Join(m.c.in.dir, "log", m.name+".log") }

func (m *machine) control() string {
	return filepath.Join(m.c.in.dir, "run", strings.TrimPrefix(m.name, "compute-")+".ctl")
}

// start starts the machine unless it runs or is to stay down.
func (m *machine) start(takeover bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || m.over || m.cmd != nil {
		return nil
	}
	args := []string{"run", m.kind, "--config", m.c.conf(m.name)}
	if m.kind == "compute" {
		args = append(args, "--socket", m.control(), "-c", fmt.Sprintf("takeover=%v", takeover))
	}
	log, err := os.OpenFile(m.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := m.c.lan.command(m.name, bin(m.c.t), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	m.cmd, m.done = cmd, make(chan struct{})
	m.runs++
	go func() {
		cmd.Wait()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.over = m.kind == "compute" && cmd.ProcessState.ExitCode() == exit.Superseded
		m.cmd, m.held = nil, 0
		close(m.done)
	}()
	return nil
}

// takeOver makes this compute take the branch.
func (m *machine) takeOver() error {
	m.mu.Lock()
	m.down, m.over = false, false
	m.mu.Unlock()
	return m.start(true)
}

// signal sends a signal to the process, if there is one.
func (m *machine) signal(sig syscall.Signal) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd != nil && m.cmd.Process.Signal(sig) == nil
}

// kill ends the process at once; it stays down until up is called.
func (m *machine) kill() bool {
	m.mu.Lock()
	m.down = true
	done := m.done
	ran := m.cmd != nil && m.cmd.Process.Signal(syscall.SIGKILL) == nil
	m.mu.Unlock()
	if ran {
		<-done
	}
	return ran
}

// up lets the machine be started again.
func (m *machine) up() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = false
}

// freeze stops the process, and not the server that it serves.
func (m *machine) freeze() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil || m.cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return false
	}
	m.held++
	return true
}

// thaw ends one pause, or all.
func (m *machine) thaw(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held--; m.held <= 0 || all {
		m.held = 0
		if m.cmd != nil {
			m.cmd.Process.Signal(syscall.SIGCONT)
		}
	}
}

// await tells whether the process ended in time.
func (m *machine) await(d time.Duration) bool {
	m.mu.Lock()
	done := m.done
	running := m.cmd != nil
	m.mu.Unlock()
	if !running {
		return true
	}
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// running tells whether there is a process.
func (m *machine) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd != nil
}

// ready tells whether it is a compute that clients can connect to.
func (m *machine) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var e ctl.Endpoint
	return ctl.CallSocket(ctx, m.control(), "GET", "/endpoint", nil, &e) == nil && e.State == "ready"
}

// socket is where clients of the compute connect.
func (m *machine) socket() string {
	b, err := os.ReadFile(m.c.conf(m.name))
	if err != nil {
		m.c.t.Fatal(err)
	}
	dir := regexp.MustCompile(`(?m)^run_dir = '(.*)'$`).FindSubmatch(b)
	port := regexp.MustCompile(`(?m)^port = (\d+)$`).FindSubmatch(b)
	if dir == nil || port == nil {
		m.c.t.Fatalf("no run_dir and port in\n%s", b)
	}
	return fmt.Sprintf("%s/sock/.s.PGSQL.%s", dir[1], port[1])
}
