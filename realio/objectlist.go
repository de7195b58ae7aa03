package realio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"xenon/core/env"
	"xenon/core/xsync"
)

// maxListed is how many keys and prefixes S3 puts on one page of a listing.
const maxListed = 1000

// A listing walks the tree in the byte order of keys and fills one page.
type listing struct {
	dir  *ObjectDir
	ctx  context.Context
	opts env.ListOpts
	// Keys up to after, and keys that begin with folded, were already told.
	after, folded string
	page          env.ListPage
}

// errPageFull ends the walk.
var errPageFull = errors.New("page is full")

// List lists keys. An object whose header is damaged is listed without an
// ETag: it exists, and reading it says what is wrong with it.
func (d *ObjectDir) List(ctx context.Context, o env.ListOpts) (env.ListPage, error) {
	if o.Max <= 0 || o.Max > maxListed {
		o.Max = maxListed
	}
	l := &listing{dir: d, ctx: ctx, opts: o}
	if o.Token != "" {
		// The token is a letter, k for a key and p for a folded prefix, and the
		// last one told.
		l.after = o.Token[1:]
		if o.Token[0] == 'p' {
			l.folded = l.after
		}
	}
	// Names of directories above need no sync: a Put makes them durable before
	// there is anything in them.
	err := l.walk(d.dirOf(o.Prefix))
	if err != nil && !errors.Is(err, errPageFull) {
		return env.ListPage{}, fmt.Errorf("list %q: %w", o.Prefix, err)
	}
	return l.page, nil
}

// A listed is one entry of a directory with what keys below it begin with.
type listed struct {
	key  string // for a directory, up to and including its slash
	name string
	dir  bool
}

// entries are those of a directory in the byte order of their keys: the keys
// below a directory lie together, where its name and slash sort.
func (l *listing) entries(dir, prefix string) ([]listed, error) {
	found, err := l.dir.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, nothingDone(err)
	}
	if err := l.dir.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nothingDone(err)
	}
	entries := make([]listed, 0, len(found))
	for _, e := range found {
		part, ok := partOf(e.Name, e.Dir)
		if !ok {
			continue
		}
		if e.Dir {
			part += "/"
		}
		entries = append(entries, listed{prefix + part, path.Join(dir, e.Name), e.Dir})
	}
	slices.SortFunc(entries, func(a, b listed) int { return strings.Compare(a.key, b.key) })
	return entries, nil
}

func (l *listing) walk(dir, prefix string) error {
	if err := xsync.Cause(l.ctx); err != nil {
		return err
	}
	entries, err := l.entries(dir, prefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case l.skips(e):
		case e.dir:
			err = l.walk(e.name, e.key)
		default:
			err = l.tell(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skips tells whether nothing at or below e belongs on the page.
func (l *listing) skips(e listed) bool {
	if l.folded != "" && strings.HasPrefix(e.key, l.folded) {
		return true
	}
	if e.dir {
		wanted := strings.HasPrefix(e.key, l.opts.Prefix) || strings.HasPrefix(l.opts.Prefix, e.key)
		told := e.key <= l.after && !strings.HasPrefix(l.after, e.key)
		return !wanted || told
	}
	return !strings.HasPrefix(e.key, l.opts.Prefix) || e.key <= l.after
}

// tell puts one object, or the prefix it is folded into, on the page.
func (l *listing) tell(e listed) error {
	if len(l.page.Objects)+len(l.page.Prefixes) == l.opts.Max {
		l.page.Next = l.lastTold()
		return errPageFull
	}
	if folded := l.fold(e.key); folded != "" {
		l.page.Prefixes = append(l.page.Prefixes, folded)
		l.folded, l.after = folded, folded
		return nil
	}

	meta, err := l.metaOf(e)
	if errors.Is(err, env.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	l.page.Objects = append(l.page.Objects, meta)
	l.after = e.key
	return nil
}

// lastTold is the token that the next page goes on from.
func (l *listing) lastTold() string {
	if l.folded != "" && l.after == l.folded {
		return "p" + l.after
	}
	return "k" + l.after
}

// fold is the common prefix that stands for key, or empty.
func (l *listing) fold(key string) string {
	if l.opts.Delimiter == "" {
		return ""
	}
	rest := key[len(l.opts.Prefix):]
	i := strings.Index(rest, l.opts.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(l.opts.Prefix)+i+len(l.opts.Delimiter)]
}

func (l *listing) metaOf(e listed) (env.ObjectMeta, error) {
	f, h, err := l.dir.openObject(e.name, e.key)
	if errors.Is(err, env.ErrCorrupt) {
		info, err := l.dir.fs.Stat(e.name)
		return env.ObjectMeta{Key: e.key, Size: info.Size}, err
	}
	if err != nil {
		return env.ObjectMeta{}, err
	}
	return h.meta(), f.Close()
}
