package objstore

import (
	"xenon/core/env"
	"xenon/core/xsync"
)

// Over is e with s as its object store.
func Over(e env.Env, s *Store) env.Env {
	o := over{e, s}
	if sched, ok := e.(xsync.Scheduler); ok {
		// A simulated world is recognised by this; an Env that hides it would
		// have its tasks wait where the world does not see them.
		return struct {
			over
			xsync.Scheduler
		}{o, sched}
	}
	return o
}

type over struct {
	env.Env
	store *Store
}

// Objects is the patient store.
func (o over) Objects() env.ObjectStore { return o.store }
