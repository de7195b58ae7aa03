package safekeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wire/http1"
)

// Routes of whoever changes the members of a timeline, below
// /v1/tenant/TENANT/timeline/TIMELINE, with Neon's names.

// Standing answers PUT membership and POST /v1/pull_timeline: where the
// timeline stands with the configuration that it has now.
type Standing struct {
	Previous configuration `json:"previous_conf"`
	Current  configuration `json:"current_conf"`
	Term     core.Term     `json:"term"`          // promised to
	LastTerm core.Term     `json:"last_log_term"` // of the log
	Flush    core.LSN      `json:"flush_lsn"`
}

// Generation is that of the configuration which the timeline has now.
func (s Standing) Generation() core.Generation { return s.Current.Generation }

// Position is where the log ends.
func (s Standing) Position() consensus.Position {
	return consensus.Position{Term: s.LastTerm, Flush: s.Flush}
}

// TermBump is the body of POST term_bump and TermBumped its answer.
type TermBump struct {
	Term core.Term `json:"term"`
}

// TermBumped tells the terms before and after.
type TermBumped struct {
	Previous core.Term `json:"previous_term"`
	Current  core.Term `json:"current_term"`
}

// EncodeConfiguration is the body of PUT membership and PUT exclude.
func EncodeConfiguration(c consensus.Configuration) any { return encodeConfiguration(c) }

// membershipRoutes adds the routes to the management interface.
func (n *Node) membershipRoutes(mux *http.ServeMux) {
	const timeline = "/v1/tenant/{tenant}/timeline/{timeline}/"
	mux.HandleFunc("PUT "+timeline+"membership", n.putMembership)
	mux.HandleFunc("PUT "+timeline+"exclude", n.putExclude)
	mux.HandleFunc("POST "+timeline+"term_bump", n.postTermBump)
	mux.HandleFunc("GET "+timeline+"snapshot/{destination}", n.getSnapshot)
	mux.HandleFunc("POST /v1/pull_timeline", n.postPull)
}

// membershipLimit bounds the bodies of these routes.
const membershipLimit = 64 << 10

// asked reads what a request names and carries, and answers it if that is no
// good.
func asked(w http.ResponseWriter, r *http.Request, body any) (id core.TTID, ok bool) {
	id, err := ttidOf(r)
	if err == nil {
		err = http1.ReadJSON(r, membershipLimit, body)
	}
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
	}
	return id, err == nil
}

// inService finds a timeline that takes steps, and answers the request if it is
// not there: 404 if it never came or is to come, 410 if it was deleted, 503 if
// it is out of service.
func (n *Node) inService(w http.ResponseWriter, id core.TTID) *Timeline {
	n.mu.Lock()
	t, e := n.timelines[id], n.roster.entry(id)
	n.mu.Unlock()
	switch {
	case t != nil && !t.pos.Get().Failed:
		return t
	case t != nil:
		http1.WriteError(w, http.StatusServiceUnavailable, t.unusable())
	case e != nil && e.Deleted && e.Excluded == 0:
		http1.WriteError(w, http.StatusGone, fmt.Errorf("timeline %s on safekeeper %d: %w", id, n.cfg.NodeID, errDeleted))
	default:
		http1.WriteError(w, http.StatusNotFound, fmt.Errorf("timeline %s does not exist on safekeeper %d", id, n.cfg.NodeID))
	}
	return nil
}

// writeRefusal answers with an error of a step or of the disk.
func writeRefusal(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, consensus.ErrForeign), errors.Is(err, errConflict):
		status = http.StatusConflict
	case errors.Is(err, errDeleted):
		status = http.StatusGone
	case errors.Is(err, errBusy), errors.Is(err, consensus.ErrWounded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, env.ErrNoSpace):
		status = http.StatusInsufficientStorage
	}
	http1.WriteError(w, status, err)
}

func (n *Node) putMembership(w http.ResponseWriter, r *http.Request) {
	var c configuration
	id, ok := asked(w, r, &c)
	if !ok {
		return
	}
	t := n.inService(w, id)
	if t == nil {
		return
	}
	s, err := t.configure(c.decode())
	if err != nil {
		writeRefusal(w, err)
		return
	}
	http1.WriteJSON(w, s)
}

// configure gives the timeline a configuration and tells where it stands. What
// it tells holds once it has switched: nothing of an older generation is
// acknowledged after that.
func (t *Timeline) configure(c consensus.Configuration) (s Standing, err error) {
	err = t.step(func(a *consensus.Acceptor) error {
		if a.Wounded() {
			return fmt.Errorf("where the log of timeline %s ends on safekeeper %d is not to be counted with: %w", t.id, t.node.cfg.NodeID, consensus.ErrWounded)
		}
		s.Previous = encodeConfiguration(a.Configuration())
		out, err := a.Configure(c)
		if err != nil {
			return err
		}
		if err := t.carryOut(out); err != nil {
			return err
		}
		if out.Promise != nil {
			t.node.e.Log().Info("timeline has new members", "timeline", t.id.String(), "configuration", c.String())
		}
		s.Current, s.Term = encodeConfiguration(a.Configuration()), a.Term()
		s.LastTerm, s.Flush = a.Position().Term, a.Position().Flush
		return nil
	})
	return s, err
}

func (n *Node) postTermBump(w http.ResponseWriter, r *http.Request) {
	var b TermBump
	id, ok := asked(w, r, &b)
	if !ok {
		return
	}
	t := n.inService(w, id)
	if t == nil {
		return
	}
	var answer TermBumped
	err := t.step(func(a *consensus.Acceptor) error {
		answer.Previous = a.Term()
		if err := t.carryOut(a.Bump(b.Term)); err != nil {
			return err
		}
		answer.Current = a.Term()
		return nil
	})
	if err != nil {
		writeRefusal(w, err)
		return
	}
	http1.WriteJSON(w, answer)
}

// putExclude takes the timeline away from a safekeeper that is no member any
// more. It answers with success as well if it is not here.
func (n *Node) putExclude(w http.ResponseWriter, r *http.Request) {
	var c configuration
	id, ok := asked(w, r, &c)
	if !ok {
		return
	}
	conf := c.decode()
	if err := conf.Check(); err != nil || conf.Has(n.cfg.NodeID) {
		http1.WriteError(w, http.StatusBadRequest, errors.Join(err, fmt.Errorf("safekeeper %d is to be excluded by %s", n.cfg.NodeID, conf)))
		return
	}
	if err := n.exclude(id, conf); err != nil {
		writeRefusal(w, err)
		return
	}
	http1.WriteJSON(w, struct{}{})
}

// exclude deletes a timeline if the configuration without this safekeeper is
// newer than the one it has: a request that comes late must not take away what
// was given back since. The tombstone has the generation, so that no request
// from before, to copy or to create, makes the timeline again.
func (n *Node) exclude(id core.TTID, conf consensus.Configuration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	own := n.roster.copied(id)
	t := n.timelines[id]
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.acc != nil {
			own = t.acc.Generation()
		} else if c, err := t.readControl(); err == nil {
			own = c.Config.Generation
		}
	}
	late := own >= conf.Generation
	if late && !(faults.On && faults.Hit(faults.ExcludeAnyTime)) {
		return fmt.Errorf("exclude safekeeper %d from timeline %s: %w: %s was given, it is at generation %d", n.cfg.NodeID, id, errConflict, conf, own)
	}
	if e := n.roster.entry(id); e != nil && e.Deleted && (e.Excluded == 0 || e.Excluded >= conf.Generation) && e.Copying == 0 {
		return nil
	}
	next := n.roster.clone()
	next.bury(id, conf.Generation)
	if err := n.saveRoster(next); err != nil {
		return err
	}
	if t != nil {
		delete(n.timelines, id)
		t.retireLocked()
	}
	n.e.Log().Info("timeline excluded", "timeline", id.String(), "configuration", conf.String())
	n.e.Trace().Note("safekeeper.excluded", id.Timeline.Tag(), uint64(conf.Generation), 0, 0)
	if err := removeDir(n.e.FS(), dirOf(id)); err != nil {
		n.e.Log().Warn("files of an excluded timeline are left", "timeline", id.String(), "error", err)
	}
	return nil
}

// A snapshot is what a copy of a timeline begins with.
type snapshot struct {
	Control json.RawMessage `json:"control"`   // the body of a control file
	First   core.LSN        `json:"first_lsn"` // where the WAL begins that is here
	Flush   core.LSN        `json:"flush_lsn"`
	Commit  core.LSN        `json:"commit_lsn"`
	Last    core.Term       `json:"last_log_term"`
}

// getSnapshot tells somebody who copies the timeline what it is, and holds the
// WAL for him.
func (n *Node) getSnapshot(w http.ResponseWriter, r *http.Request) {
	id, err := ttidOf(r)
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	t := n.inService(w, id)
	if t == nil {
		return
	}
	var s snapshot
	err = t.step(func(a *consensus.Acceptor) error {
		c := a.Control()
		s = snapshot{
			Control: encodeControl(n.cfg.NodeID, id, &c), First: t.firstLSN(),
			Flush: a.FlushLSN(), Commit: a.CommitLSN(), Last: a.Position().Term,
		}
		if faults.On && faults.Hit(faults.CopyFromCommit) {
			s.First = core.SegmentStart(s.Commit.Segment(t.segs.size), t.segs.size)
		}
		t.holdWAL(r.PathValue("destination"), s.First)
		return nil
	})
	if err != nil {
		writeRefusal(w, err)
		return
	}
	http1.WriteJSON(w, s)
}

// createBlank is what a safekeeper must never do, and does with
// [faults.PushCreates] planted: make the timeline that a proposer asks for and
// that is not here.
func (n *Node) createBlank(ctx context.Context, m *consensus.ProposerGreeting) (*Timeline, error) {
	for _, peer := range m.Config.Members {
		var s TimelineStatus
		if peer.ID == n.cfg.NodeID || http1.Call(ctx, n.e, peer.Addr(), "GET", timelinePath(m.TTID), nil, &s) != nil {
			continue
		}
		server := m.Server
		server.SystemID = s.Server.SystemID
		first := consensus.Configuration{Generation: 1, Members: m.Config.Members}
		if err := n.create(creation{id: m.TTID, config: first, server: server, start: s.TimelineStart}); err != nil {
			return nil, err
		}
		return n.timeline(m.TTID)
	}
	return nil, errConflict
}
