package safekeeper_test

import (
	"fmt"
	"testing"
	"time"

	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wire/http1"
)

// TestCopiesHoldWAL: WAL that somebody is about to copy stays, though nobody else
// needs it, for as long as limits.wal_hold_seconds after he asked last.
func TestCopiesHoldWAL(t *testing.T) {
	if err := copiesHold(t); err != nil {
		t.Error(err)
	}
}

func copiesHold(t *testing.T) (found error) {
	d := newDepot(t, safekeeper.Config{Limits: safekeeper.Limits{WALHoldSeconds: 30}})
	d.do(func(c *customer) error {
		if err := c.create(); err != nil {
			return err
		}
		p, at, err := c.lead(1)
		if err != nil {
			return err
		}
		ask := func() error {
			var s struct {
				First core.LSN `json:"first_lsn"`
			}
			path := fmt.Sprintf("/v1/tenant/%s/timeline/%s/snapshot/node-9", ttid.Tenant, ttid.Timeline)
			err := http1.Call(c.ctx, c.e, "sk1:1", "GET", path, nil, &s)
			if err == nil && s.First > startAt {
				found = fmt.Errorf("a copy is told to begin at %s", s.First)
			}
			return err
		}
		if err := ask(); err != nil {
			return err
		}
		w := newWAL(at, 0)
		if _, err := write(p, 1, w, 3); err != nil {
			return err
		}
		if err := c.stored(w.enc.Pos()); err != nil {
			return err
		}
		if err := c.until("segments are stored", func(s safekeeper.TimelineStatus) bool { return s.Backup >= 3*segSize }); err != nil {
			return err
		}
		for range 8 { // longer than readers hold WAL
			c.sleep(10 * time.Second)
			if err := ask(); err != nil || found != nil {
				return err
			}
		}
		return c.until("nobody copies it any more", func(s safekeeper.TimelineStatus) bool { return s.LocalStart > startAt })
	})
	return found
}
