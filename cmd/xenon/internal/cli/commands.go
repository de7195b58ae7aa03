package cli

import (
	"runtime"
	"runtime/debug"
)

// commands is the grammar of the command line, in the order of its help.
type commands struct {
	Globals

	Up         upCommand         `cmd:"" help:"Start an installation."`
	Status     statusCommand     `cmd:"" help:"Tell what runs, every LSN, what waits and why."`
	Stop       stopCommand       `cmd:"" help:"Stop the running installation."`
	Psql       psqlCommand       `cmd:"" help:"Connect to a branch with psql."`
	Branch     branchCommand     `cmd:"" help:"Make, list and delete branches."`
	Endpoint   endpointCommand   `cmd:"" help:"Start, stop and list endpoints."`
	Membership membershipCommand `cmd:"" help:"Add, remove and replace safekeepers while branches are in use."`
	Import     importCommand     `cmd:"" help:"Make a branch of a data directory."`
	Export     exportCommand     `cmd:"" help:"Write a branch, as it is or was, into a data directory for plain PostgreSQL."`
	Page       pageCommand       `cmd:"" help:"Look at pages."`
	Redo       redoCommand       `cmd:"" help:"Check WAL redo, and watch it."`
	Wal        walCommand        `cmd:"" help:"Look into WAL: records, statistics, search."`
	Sim        simCommand        `cmd:"" help:"Run a whole installation in the simulator, under faults, and judge it."`
	Modelcheck modelcheckCommand `cmd:"" help:"Visit every state of a small model of the consensus protocol."`
	Bench      benchCommand      `cmd:"" help:"Measure beside a peer on the same machine."`
	Demo       demoCommand       `cmd:"" hidden:"" help:"Start an installation and show it at work."`
	Run        runCommand        `cmd:"" help:"Run one role from its configuration."`
	Version    versionCommand    `cmd:"" help:"Print what this is."`
}

type versionCommand struct{}

func (versionCommand) Run(g *Globals) error {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
	}{version, runtime.Version()}
	return g.Result(v, "xenon "+v.Version+" "+v.Go+"\n")
}
