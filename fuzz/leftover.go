package fuzz

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"xenon/consensus/safekeeper/archive"
	"xenon/core/env"
)

// cleared waits until the object store has no WAL of branches that are deleted:
// nobody can want it, and somebody pays for it.
func (r *run) cleared(ctx context.Context, e env.Env) error {
	for _, l := range r.j.lines {
		if !l.gone || !r.j.store.tombstone(l) || l.members.record.Config.Generation > 1 {
			continue // of other members than the first, some are not told of the deletion
		}
		prefix := archive.Prefix(l.id)
		r.stage = fmt.Sprintf("waiting for the WAL of %s, which is deleted, to leave the object store", l.name)
		if err := await(ctx, e, func() bool {
			return !slices.ContainsFunc(r.c.bucket.Keys(), func(key string) bool { return strings.HasPrefix(key, prefix) })
		}); err != nil {
			return err
		}
	}
	return nil
}
