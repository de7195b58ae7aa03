package up

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/conf"
	"xenon/cmd/xenon/internal/home"
	"xenon/cmd/xenon/internal/remote"
	"xenon/core/env"
	"xenon/realio"
)

// storePatience is how long a start waits for an object store that does not
// answer.
const storePatience = 10 * time.Second

// A place is where the objects of an installation are. It is chosen once and
// kept in DIR/conf/remote.toml, with the id that marks the store as ours.
type place struct {
	remote.Config      // local_path is absolute
	kept          bool // in remote.toml already
	old           bool // the installation is older than marks
}

func remoteFile(dir string) string { return filepath.Join(dir, "conf", "remote.toml") }

// choosePlace is the place kept in dir, or else the one asked for, which is
// the directory DIR/objects if it is the zero Config. It writes nothing.
func choosePlace(dir string, asked remote.Config) (p place, err error) {
	kept, err := remote.Load(remoteFile(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	p = place{Config: asked, kept: err == nil && kept.Installation != ""}
	usual := filepath.Join(dir, "objects")
	if asked == (remote.Config{}) {
		p.LocalPath = usual
	}
	if !p.kept {
		p.Installation = remote.NewID()
		_, err := os.Stat(layoutPath(dir))
		p.old = err == nil
		return p, nil
	}
	if kept.LocalPath == "" && kept.BucketName == "" {
		kept.LocalPath = usual // wherever DIR is now
	}
	if asked != (remote.Config{}) && !p.Same(kept) {
		return p, fmt.Errorf("the objects of %s are in %s, and --remote asks for %s: leave --remote out, or make another installation with --dir", dir, kept, asked)
	}
	if asked == (remote.Config{}) {
		p.Config = kept
	}
	p.Installation = kept.Installation
	return p, nil
}

// check asks a bucket whether it can be used, before anything is written. A
// directory has nobody to ask.
func (p place) check(ctx context.Context) error {
	if p.BucketName == "" {
		return p.Check()
	}
	s, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return p.Verify(ctx, s, storePatience)
}

// claim keeps the place in DIR and marks the store as ours. The id is kept
// before the mark is set, so that the next start knows its own.
func (p place) claim(ctx context.Context, h *home.Home, s remote.Store) error {
	if !p.kept {
		if err := p.save(h); err != nil {
			return err
		}
	}
	err := p.Claim(ctx, s, h.Dir, p.old, storePatience)
	if errors.Is(err, remote.ErrTaken) && !p.kept {
		return errors.Join(err, os.Remove(remoteFile(h.Dir)))
	}
	return err
}

func (p place) save(h *home.Home) error {
	c := p.Config
	if c.LocalPath == h.Path("objects") {
		c.LocalPath = "" // DIR can be moved
	}
	b, err := conf.Write(c)
	if err != nil {
		return err
	}
	return home.WriteFile(remoteFile(h.Dir), b, 0o600)
}

// An objects is the object store of an installation that runs.
type objects struct {
	remote.Store
	place   place
	process *realio.Env // what asks the store

	mu    sync.Mutex
	known []branch.Branch // when the store answered last
}

// branches are all branches; while the store does not answer, those that were
// there when it last did, and why.
func (o *objects) branches(ctx context.Context, e env.Env) (all []branch.Branch, trouble []string) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	all, err := o.list(ctx, e)
	if err == nil {
		return all, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known, []string{fmt.Sprintf("object store %s does not answer, so starts wait, and so do uploads: %v", o.place, err)}
}

// list asks the store for all branches.
func (o *objects) list(ctx context.Context, e env.Env) ([]branch.Branch, error) {
	all, err := branch.List(ctx, e)
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.known = all
	}
	return all, err
}
