package role

import (
	"fmt"
	"os"
	"path/filepath"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/compute/crosscheck"
	"xenon/realio/host"
)

// Describe tells how the endpoint is.
func (n *Node) Describe() ctl.Endpoint {
	s := n.endpoint.Status()
	e := ctl.Endpoint{
		Name: n.cfg.Name, Branch: n.cfg.Branch, State: string(s.State), Note: s.Note,
		Host: n.cfg.Listen, Port: n.cfg.Port, SocketDir: n.host.SocketDir(), PID: os.Getpid(), ReadOnlyLSN: n.cfg.LookBack,
		Epoch: s.Epoch, Term: s.Term, StartLSN: s.Start, CommitLSN: s.Quorum.Commit, Starts: s.Starts,
	}
	e.URL = fmt.Sprintf("postgres://postgres@%s:%d/postgres", ConnectHost(n.cfg.Listen), n.cfg.Port)
	if server, ok := s.Server.(*host.Server); ok && server != nil {
		e.Warden, e.Postmaster = server.WardenPID(), server.PID()
	}
	e.CrossCheck = n.describeCheck(s.Check)
	return e
}

// describeCheck tells what came of the cross-check, nil if there is none.
func (n *Node) describeCheck(s crosscheck.Status) *ctl.CrossCheck {
	if s.Dir == "" || n.cfg.LookBack != 0 {
		return nil
	}
	c := &ctl.CrossCheck{
		Percent: n.cfg.CrossCheck, Checked: s.Checked, Mismatched: s.Mismatched, Skipped: s.Skipped, Unstored: s.Unstored,
		Reports: filepath.Join(n.cfg.Dir, s.Dir),
	}
	if reports, err := os.ReadDir(c.Reports); err == nil {
		c.Stored = len(reports)
	}
	return c
}

// ConnectHost is where a client on this machine reaches a server that listens
// on addresses as in listen_addresses.
func ConnectHost(listen string) string {
	switch listen {
	case "", "*", "0.0.0.0", "::":
		return "127.0.0.1"
	}
	return listen
}
