package pageserver

import (
	"context"
	"log/slog"
	"path"
	"time"

	"xenon/core/pageserver/remote"
)

// Copies of layers on the disk go when it gets full: what is in the object
// store, the oldest first. Reads of them go there then. What is not uploaded
// yet stays, and ingest waits where there is no room for more.

// evictEvery is how often the disk is looked at.
const evictEvery = 10 * time.Second

// evicts keeps [remote.MinFree] bytes of the disk free, if that can be.
func (n *node) evicts(ctx context.Context) error {
	for {
		if err := n.e.Clock().Sleep(ctx, evictEvery); err != nil {
			return err
		}
		if n.low(remote.MinFree) {
			n.makeRoom(ctx)
		}
	}
}

// low tells whether less than so many bytes are free.
func (n *node) low(bytes uint64) bool {
	free, err := n.e.FS().Free()
	return err == nil && free < bytes
}

// makeRoom evicts copies until twice what must be free is, or there are none.
func (n *node) makeRoom(ctx context.Context) {
	gone := 0
	for _, a := range n.list() {
		if !a.users.Enter() {
			continue
		}
		for _, name := range a.t.evictable() {
			if !n.low(2 * remote.MinFree) {
				break
			}
			if err := a.t.Evict(ctx, name); err != nil {
				n.e.Log().Warn("copy of a layer stays", slog.Any("err", err))
				break
			}
			gone++
		}
		a.users.Leave()
	}
	if gone > 0 {
		n.e.Log().Info("the disk is nearly full: layers are read from the object store", slog.Int("evicted", gone))
	}
}

// evictable lists the layers whose files may go, the oldest first.
func (t *Timeline) evictable() (names []string) {
	t.mu.Lock()
	for _, d := range t.layers.list {
		if d.uploaded() && t.layers.source != nil {
			names = append(names, d.entry.Name)
		}
	}
	t.mu.Unlock()
	there := names[:0]
	for _, name := range names {
		if _, err := t.env.FS().Stat(path.Join(t.dir, name)); err == nil {
			there = append(there, name)
		}
	}
	return there
}
