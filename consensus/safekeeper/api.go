package safekeeper

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wire/http1"
)

// bodyLimit is the longest request body: a creation with the bytes of a
// segment of 64 MiB, in base64.
const bodyLimit = 96 << 20

// Creation is the body of POST /v1/tenant/timeline. Repeating it is allowed.
type Creation struct {
	Tenant      core.TenantID   `json:"tenant_id"`
	Timeline    core.TimelineID `json:"timeline_id"`
	Config      configuration   `json:"mconf"`
	PGVersion   uint32          `json:"pg_version"` // PG_VERSION_NUM
	SystemID    uint64          `json:"system_id"`
	SegmentSize uint32          `json:"wal_seg_size,omitempty"` // bytes; 0 is 16 MiB
	Start       core.LSN        `json:"start_lsn"`
	// Initial is the bytes from the start of Start's segment up to Start, so
	// that readers of that segment find a cluster's own WAL there. Empty means
	// page headers and zeroes.
	Initial []byte `json:"initial_segment,omitempty"`
}

// NewCreation makes the body that creates a timeline with config.
func NewCreation(id core.TTID, config consensus.Configuration, server consensus.Server, start core.LSN, initial []byte) Creation {
	return Creation{
		Tenant: id.Tenant, Timeline: id.Timeline, Config: encodeConfiguration(config),
		PGVersion: server.PGVersion, SystemID: server.SystemID, SegmentSize: server.SegmentSize,
		Start: start, Initial: initial,
	}
}

// NodeStatus is the answer of GET /v1/status.
type NodeStatus struct {
	ID        core.NodeID `json:"id"`
	Disk      string      `json:"disk"` // what the disk is called: another one has another name
	Timelines int         `json:"timelines"`
	Refused   int         `json:"refused"`   // timelines out of service
	WALBytes  int64       `json:"wal_bytes"` // of all timelines
	FreeBytes int64       `json:"free_bytes"`
	LowWater  int64       `json:"low_water_bytes"`
}

// TimelineStatus is the answer of GET /v1/tenant/TENANT/timeline/TIMELINE.
type TimelineStatus struct {
	Tenant   core.TenantID   `json:"tenant_id"`
	Timeline core.TimelineID `json:"timeline_id"`
	Config   configuration   `json:"mconf"`
	Acceptor acceptorState   `json:"acceptor_state"`
	Server   serverInfo      `json:"pg_info"`

	Flush            core.LSN `json:"flush_lsn"`
	Write            core.LSN `json:"write_lsn"`
	Commit           core.LSN `json:"commit_lsn"`
	TimelineStart    core.LSN `json:"timeline_start_lsn"`
	LocalStart       core.LSN `json:"local_start_lsn"`
	Horizon          core.LSN `json:"peer_horizon_lsn"`
	RemoteConsistent core.LSN `json:"remote_consistent_lsn"`
	Backup           core.LSN `json:"backup_lsn"`

	// Evicted tells that the WAL is in the object store alone: it comes back with
	// the next proposer or reader.
	Evicted bool `json:"evicted"`
	// OffloadError is why WAL is not stored although it should be. Held is up to
	// where WAL was removed from the disk, or could be, and what holds the rest.
	OffloadError string `json:"offload_error,omitempty"`
	Held         string `json:"held,omitempty"`

	// Wounded tells, and says what to do, that the end of the log was lost on
	// this disk and is not back yet: no votes are given until it is.
	Wounded string `json:"wounded,omitempty"`

	WALBytes  int64       `json:"wal_bytes"`
	Syncs     uint64      `json:"wal_syncs"`         // since the timeline was loaded
	Waiting   string      `json:"waiting,omitempty"` // why appends wait, and which key lets them go on
	Failed    string      `json:"failed,omitempty"`  // why the timeline is out of service
	Receivers int         `json:"walreceivers"`      // proposers connected
	Senders   []WALSender `json:"walsenders"`
}

// A WALSender is one reader of WAL.
type WALSender struct {
	Name  string   `json:"application_name"`
	Sent  core.LSN `json:"sent_lsn"`
	Write core.LSN `json:"write_lsn"`
	Flush core.LSN `json:"flush_lsn"`
	Apply core.LSN `json:"apply_lsn"`
}

type acceptorState struct {
	Term    core.Term    `json:"term"`
	Epoch   core.Term    `json:"epoch"` // last term of the effective history
	History []termSwitch `json:"term_history"`
}

type serverInfo struct {
	PGVersion   uint32 `json:"pg_version"`
	SystemID    uint64 `json:"system_id"`
	SegmentSize uint32 `json:"wal_seg_size"`
}

func (n *Node) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", n.getStatus)
	mux.HandleFunc("GET /v1/tenant/timeline", n.listTimelines)
	mux.HandleFunc("POST /v1/tenant/timeline", n.postTimeline)
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline/{timeline}", n.getTimeline)
	mux.HandleFunc("DELETE /v1/tenant/{tenant}/timeline/{timeline}", n.removeTimeline)
	mux.HandleFunc("POST /v1/tenant/{tenant}/timeline/{timeline}/examine", n.examine)
	n.membershipRoutes(mux)
	return n.addressed(mux)
}

func (n *Node) getStatus(w http.ResponseWriter, _ *http.Request) {
	list := n.all()
	s := NodeStatus{ID: n.cfg.NodeID, Disk: n.disk(), Timelines: len(list), WALBytes: n.used.Load(), FreeBytes: n.free.Load(), LowWater: n.lowWater}
	for _, t := range list {
		if t.pos.Get().Failed {
			s.Refused++
		}
	}
	http1.WriteJSON(w, s)
}

func (n *Node) listTimelines(w http.ResponseWriter, _ *http.Request) {
	list := []rosterEntry{}
	for _, t := range n.all() {
		list = append(list, rosterEntry{Tenant: t.id.Tenant, Timeline: t.id.Timeline})
	}
	http1.WriteJSON(w, list)
}

func (n *Node) postTimeline(w http.ResponseWriter, r *http.Request) {
	var b Creation
	if err := http1.ReadJSON(r, bodyLimit, &b); err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	if b.SegmentSize == 0 {
		b.SegmentSize = core.DefaultSegmentSize
	}
	c := creation{
		id: core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}, config: b.Config.decode(),
		server: consensus.Server{PGVersion: b.PGVersion, SystemID: b.SystemID, SegmentSize: b.SegmentSize},
		start:  b.Start, initial: b.Initial,
	}
	if _, err := n.checkCreation(&c); err != nil {
		http1.WriteError(w, http.StatusBadRequest, fmt.Errorf("create timeline %s on safekeeper %d: %w", c.id, n.cfg.NodeID, err))
		return
	}
	switch err := n.create(c); {
	case err == nil:
		http1.WriteJSON(w, struct{}{})
	case errors.Is(err, errConflict):
		http1.WriteError(w, http.StatusConflict, err)
	case errors.Is(err, errDeleted):
		http1.WriteError(w, http.StatusGone, err)
	case errors.Is(err, env.ErrNoSpace):
		http1.WriteError(w, http.StatusInsufficientStorage, err)
	default:
		http1.WriteError(w, http.StatusInternalServerError, err)
	}
}

// ttidOf is the timeline that a path names.
func ttidOf(r *http.Request) (id core.TTID, err error) {
	if id.Tenant, err = core.ParseTenantID(r.PathValue("tenant")); err == nil {
		id.Timeline, err = core.ParseTimelineID(r.PathValue("timeline"))
	}
	return id, err
}

// removeTimeline answers with success as well if there is nothing to delete:
// what matters is that the timeline is not here and never will be.
func (n *Node) removeTimeline(w http.ResponseWriter, r *http.Request) {
	id, err := ttidOf(r)
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	switch err := n.deleteTimeline(id); {
	case err == nil:
		http1.WriteJSON(w, struct{}{})
	case errors.Is(err, env.ErrNoSpace):
		http1.WriteError(w, http.StatusInsufficientStorage, err)
	default:
		http1.WriteError(w, http.StatusInternalServerError, err)
	}
}

func (n *Node) getTimeline(w http.ResponseWriter, r *http.Request) {
	if t := n.named(w, r); t != nil {
		http1.WriteJSON(w, t.describe(r.URL.Query().Get("history") != "no"))
	}
}

// examine is told by a reader where what it got is no WAL (parameter lsn, as
// often as there are places). Who serves does not decode, and would not see it;
// it is looked for on the disk, and mended.
func (n *Node) examine(w http.ResponseWriter, r *http.Request) {
	t := n.named(w, r)
	if t == nil {
		return
	}
	for _, s := range r.URL.Query()["lsn"] {
		lsn, err := core.ParseLSN(s)
		if err != nil {
			http1.WriteError(w, http.StatusBadRequest, fmt.Errorf("examine timeline %s: %w", t.id, err))
			return
		}
		if c := t.control(); lsn >= c.TimelineStart && lsn <= c.Commit && !(faults.On && faults.Hit(faults.ReaderUnheard)) {
			t.suspect(lsn)
		}
	}
	http1.WriteJSON(w, struct{}{})
}

// named is the timeline that a path names. If it is nil, that was answered.
func (n *Node) named(w http.ResponseWriter, r *http.Request) *Timeline {
	id, err := ttidOf(r)
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return nil
	}
	n.mu.Lock()
	t, deleted := n.timelines[id], n.roster.deleted(id)
	n.mu.Unlock()
	if deleted {
		http1.WriteError(w, http.StatusGone, fmt.Errorf("timeline %s on safekeeper %d: %w", id, n.cfg.NodeID, errDeleted))
		return nil
	}
	if t == nil {
		http1.WriteError(w, http.StatusNotFound, fmt.Errorf("timeline %s does not exist on safekeeper %d", id, n.cfg.NodeID))
	}
	return t
}

func (t *Timeline) control() consensus.Control {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	return t.status.control
}

// beginning is the start of the segment that the timeline begins in: no WAL
// below was ever anywhere.
func (t *Timeline) beginning() core.LSN {
	c := t.control()
	return core.SegmentStart(c.TimelineStart.Segment(c.Server.SegmentSize), c.Server.SegmentSize)
}

// firstLSN is the start of the first segment that is here.
func (t *Timeline) firstLSN() core.LSN {
	c := t.control()
	return core.SegmentStart(c.LocalStart.Segment(c.Server.SegmentSize), c.Server.SegmentSize)
}

// describe is the status, all of one moment. The history is left out for whoever
// asks often: one that has grown for long goes into megabytes.
func (t *Timeline) describe(history bool) TimelineStatus {
	t.leaf.Lock()
	defer t.leaf.Unlock()
	at, c := t.status.at, t.status.control
	if !history {
		c.History = nil
	}
	s := TimelineStatus{
		Tenant: t.id.Tenant, Timeline: t.id.Timeline, Config: encodeConfiguration(c.Config),
		Acceptor: acceptorState{c.Term, t.status.history.LastTerm(), encodeHistory(c.History)},
		Server:   serverInfo{c.Server.PGVersion, c.Server.SystemID, c.Server.SegmentSize},
		Flush:    at.Flush, Write: t.status.write, Commit: at.Commit,
		TimelineStart: c.TimelineStart, LocalStart: c.LocalStart, Horizon: c.Horizon, RemoteConsistent: c.RemoteConsistent,
		Backup: c.Backup, Evicted: t.status.evicted, OffloadError: t.store.why, Held: t.store.held,
		WALBytes: t.status.walBytes, Syncs: t.status.syncs, Waiting: string(t.status.waiting), Receivers: t.status.receivers, Senders: []WALSender{},
	}
	if t.status.failed != nil {
		s.Failed = t.status.failed.Error()
	}
	if c.Lost != 0 {
		s.Wounded = t.woundText(c.Lost)
	}
	for _, k := range slices.Sorted(maps.Keys(t.status.senders)) {
		x := t.status.senders[k]
		s.Senders = append(s.Senders, WALSender{x.name, x.sent, x.status.Write, x.status.Flush, x.status.Apply})
	}
	return s
}
