package cli

import (
	"runtime"
	"runtime/debug"
)

// commands is the grammar of the command line, in the order of its help.
type commands struct {
	Globals

	Up      upCommand      `cmd:"" help:"Start an installation."`
	Stop    stopCommand    `cmd:"" help:"Stop the running installation."`
	Run     runCommand     `cmd:"" help:"Run one role from its configuration."`
	Version versionCommand `cmd:"" help:"Print what this is."`
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
