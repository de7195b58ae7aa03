package up

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/home"
	"xenon/compute"
)

// A resumed endpoint is one that runs until somebody stops it: the next start
// of the installation starts it too. Main's is started in any case.
type resumed struct {
	Name   string `toml:"name"`
	Branch string `toml:"branch"`
	Port   int    `toml:"port"`
}

// resumeList is DIR/conf/endpoints.toml.
type resumeList struct {
	Endpoints []resumed `toml:"endpoints"`
}

func (in *installation) resumeFile() string { return in.home.Path("conf", "endpoints.toml") }

func (in *installation) loadResumed() (l resumeList, err error) {
	if err = conf.Load(in.resumeFile(), nil, &l); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return l, err
}

// editResumed changes the list of endpoints to resume.
func (in *installation) editResumed(f func([]resumed) []resumed) error {
	in.resuming.Lock()
	defer in.resuming.Unlock()
	l, err := in.loadResumed()
	if err != nil {
		return err
	}
	next := f(slices.Clone(l.Endpoints))
	if slices.Equal(next, l.Endpoints) {
		return nil
	}
	b, err := conf.Write(resumeList{next})
	if err != nil {
		return err
	}
	return home.WriteFile(in.resumeFile(), b, 0o600)
}

// remember notes an endpoint that is about to start. What is read-only ends
// with whoever looks.
func (in *installation) remember(e *endpoint) error {
	if e.readOnly() || e.branch.Name == branch.Main {
		return nil
	}
	return in.editResumed(func(all []resumed) []resumed {
		// A take-over leaves one endpoint on the branch.
		all = slices.DeleteFunc(all, func(r resumed) bool { return r.Name == e.name || r.Branch == e.branch.Name })
		return append(all, resumed{e.name, e.branch.Name, e.cfg.Port})
	})
}

// forget takes an endpoint off the list, and tells whether it was on it.
func (in *installation) forget(name string) (was bool) {
	err := in.editResumed(func(all []resumed) []resumed {
		n := len(all)
		all = slices.DeleteFunc(all, func(r resumed) bool { return r.Name == name })
		was = len(all) < n
		return all
	})
	if err != nil {
		in.opts.Log.Warn("the endpoint starts with the next xenon up", "endpoint", name, "error", err)
	}
	return was
}

// resume makes the pageserver serve all branches, as far as it can, and starts
// the endpoints that ran when the installation ended, however it ended. It waits
// for none; status tells of those that cannot start.
func (in *installation) resume(ctx context.Context) {
	if !in.attachAll(ctx) {
		go in.attachAgain(ctx)
	}
	l, err := in.loadResumed()
	if err != nil {
		in.opts.Log.Warn("endpoints that ran are not started", "error", err)
		return
	}
	for _, r := range l.Endpoints {
		if in.writerOf(r.Branch) != nil {
			continue // somebody was faster
		}
		port := r.Port
		if _, err := in.choosePort(port); err != nil {
			port = 0
		}
		_, err := in.startEndpoint(ctx, startRequest{Branch: r.Branch, Name: r.Name, Port: port})
		if errors.Is(err, branch.ErrMissing) {
			in.forget(r.Name)
		} else if err != nil && ctx.Err() == nil {
			in.opts.Log.Warn("an endpoint that ran is not started", "endpoint", r.Name, "branch", r.Branch, "error", err)
		}
	}
}

// owner names an endpoint of this installation in the register of its branch.
func (in *installation) owner(name string) string { return installationID(in.home.Dir) + "/" + name }

// holderIsGone tells whether the register of a branch names an endpoint of
// this installation that does not run: it was killed, and since the directory
// is ours it cannot run anywhere else. To take over from it harms nobody.
func (in *installation) holderIsGone(ctx context.Context, b branch.Branch) (bool, error) {
	held, err := compute.Holder(ctx, in.env, b.RegisterName())
	if err != nil {
		return false, err
	}
	name, ours := strings.CutPrefix(held.Owner, in.owner(""))
	if !ours {
		return false, nil
	}
	e := in.findEndpoint(name)
	return e == nil || e.branch.Name != b.Name, nil
}
