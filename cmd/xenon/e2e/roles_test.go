package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xenon/cmd/xenon/internal/ctl"
)

// A deployment is the roles of an installation, each started by hand with
// `xenon run` from the file that xenon up wrote for it.
type deployment struct {
	t    *testing.T
	in   *installation
	runs map[string]*exec.Cmd
}

// runRoles starts every role of an installation that was stopped, and waits
// until clients can connect.
func (in *installation) runRoles() *deployment {
	in.t.Helper()
	d := &deployment{t: in.t, in: in, runs: map[string]*exec.Cmd{}}
	in.t.Cleanup(func() {
		for _, name := range []string{"compute-main", "pageserver-1", "safekeeper-1", "safekeeper-2", "safekeeper-3"} {
			d.terminate(name)
		}
	})
	for _, name := range []string{"safekeeper-1", "safekeeper-2", "safekeeper-3", "pageserver-1", "compute-main"} {
		d.run(name)
	}
	return d
}

// run starts a role by the name of its file, and more arguments.
func (d *deployment) run(name string, more ...string) {
	d.t.Helper()
	kind, _, _ := strings.Cut(name, "-")
	args := []string{"run", kind, "--config", filepath.Join(d.in.dir, "conf", name+".toml")}
	args = append(args, more...)
	if kind == "compute" {
		args = append(args, "--socket", d.socket())
	}
	log, err := os.OpenFile(filepath.Join(d.in.dir, "log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(bin(d.t), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.runs[name] = cmd
	if kind == "compute" {
		eventually(d.t, "the endpoint", func() bool {
			e, err := d.ask()
			return err == nil && e.State == "ready"
		})
	}
}

func (d *deployment) socket() string { return filepath.Join(d.in.dir, "run", "by-hand.sock") }

func (d *deployment) ask() (e ctl.Endpoint, err error) {
	err = ctl.CallSocket(context.Background(), d.socket(), "GET", "/endpoint", nil, &e)
	return e, err
}

func (d *deployment) endpoint() ctl.Endpoint {
	d.t.Helper()
	e, err := d.ask()
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

// kill kills a role, terminate lets it shut down; both wait for its end.
func (d *deployment) kill(name string)      { d.end(name, syscall.SIGKILL) }
func (d *deployment) terminate(name string) { d.end(name, syscall.SIGTERM) }

func (d *deployment) end(name string, sig syscall.Signal) {
	if cmd := d.runs[name]; cmd != nil {
		cmd.Process.Signal(sig)
		cmd.Wait()
		delete(d.runs, name)
	}
}
