package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/export"
	"xenon/cmd/xenon/internal/moment"
	"xenon/cmd/xenon/internal/pgdist"
	"xenon/core"
	"xenon/core/xsync"
	"xenon/realio"
)

type exportCommand struct {
	What string        `arg:"" name:"branch[@lsn|@time]" help:"Branch, and maybe a moment of it: an LSN, a time (RFC 3339), or -5m."`
	To   string        `arg:"" name:"dir" help:"Directory to write; missing or empty."`
	User string        `default:"postgres" help:"Whose the files are, if we are root."`
	Wait time.Duration `default:"30s" help:"How long to wait for the pageserver to have the LSN."`
}

func (c exportCommand) Run(g *Globals) error {
	name, at, _, err := moment.Split(c.What, time.Now())
	if err != nil {
		return UsageError{err.Error()}
	}
	user, err := pgdist.RunAs(c.User)
	if err != nil {
		return err
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	var x ctl.Export
	err = g.patiently(func() error {
		return ctl.Call(context.Background(), dir, "POST", "/export", map[string]any{"branch": name, "at": at}, &x)
	})
	if err != nil {
		return err
	}
	o := export.Options{
		Source: x.Branch + "@" + x.LSN.String(), Pageserver: x.Pageserver,
		TTID: core.TTID{Tenant: x.Tenant, Timeline: x.Timeline}, LSN: x.LSN, Conf: x.Conf, Wait: c.Wait,
	}
	if o.Dir, err = filepath.Abs(c.To); err != nil {
		return err
	}
	if user.Switch {
		o.Owner = &export.Owner{UID: int(user.UID), GID: int(user.GID)}
	}
	done := g.progress("copied", &o.Progress)
	r, err := c.export(o)
	done()
	if err != nil {
		return err
	}
	return g.Result(r, fmt.Sprintf("exported branch %s as of %s: %d files, %s\nrun it: pg_ctl -D %s start\n", x.Branch, r.LSN, r.Files, bytesText(uint64(r.Bytes)), r.Dir))
}

// errInterrupted is what an export ends with that its user ended.
var errInterrupted = errors.New("interrupted")

// export runs an export until it is done, or a signal comes.
func (c exportCommand) export(o export.Options) (*export.Result, error) {
	e := realio.New(realio.Options{})
	defer e.Close()
	ctx, cancel := xsync.WithCancel(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()
	return export.Run(ctx, e, o)
}
