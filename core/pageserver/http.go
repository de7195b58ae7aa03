package pageserver

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/objstore"
	"xenon/core/pageserver/bootset"
	"xenon/core/pageserver/remote"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// AttachRequest is the body of POST /v1/tenant/TENANT/timeline: serve a
// timeline that is in the object store. Asked for again, it replaces the
// safekeepers, and takes the timeline over anew if that was superseded.
type AttachRequest struct {
	Timeline    core.TimelineID `json:"new_timeline_id"`
	Safekeepers []string        `json:"safekeepers"` // host:port of each
	// Ancestor, if it is given, makes the timeline as a branch of one that is
	// attached, at AncestorStart rounded up to where a record may begin, unless
	// it is there already.
	Ancestor      core.TimelineID `json:"ancestor_timeline_id,omitzero"`
	AncestorStart core.LSN        `json:"ancestor_start_lsn,omitzero"`
}

// TimelineInfo is what GET /v1/tenant/TENANT/timeline/TIMELINE tells.
type TimelineInfo struct {
	Tenant      core.TenantID   `json:"tenant_id"`
	Timeline    core.TimelineID `json:"timeline_id"`
	State       string          `json:"state"` // Active, or Broken: ingest stopped
	Reason      string          `json:"reason,omitempty"`
	LastRecord  core.LSN        `json:"last_record_lsn"`
	PrevRecord  core.LSN        `json:"prev_record_lsn"`
	MinReadable core.LSN        `json:"min_readable_lsn"`
	// DiskConsistent and RemoteConsistent are what outlives the pageserver's
	// memory, and its disk.
	DiskConsistent   core.LSN `json:"disk_consistent_lsn"`
	RemoteConsistent core.LSN `json:"remote_consistent_lsn"`
	// Generation is that of this pageserver's owner at the object store, 0
	// before it could take the timeline over. Superseded tells that another one
	// did since: nothing is uploaded any more, until the timeline is attached
	// here again.
	Generation  core.Generation `json:"generation"`
	Superseded  bool            `json:"superseded,omitempty"`
	Major       int             `json:"pg_version"`
	SystemID    uint64          `json:"system_id"`
	SegmentSize uint32          `json:"wal_seg_size"` // bytes
	MemoryBytes int64           `json:"versions_memory_bytes"`
	Layers      int             `json:"layers"` // delta layers above the base
	LayerBytes  int64           `json:"layer_bytes"`
	// Resumed is where ingest went on when the timeline was opened, Ingested
	// how many records it has taken in since.
	Resumed     core.LSN       `json:"resumed_lsn"`
	Ingested    uint64         `json:"ingested_records"`
	Waits       []string       `json:"waits,omitempty"` // what waits, and why
	Waiting     int            `json:"waiting_readers"` // for WAL that has not come
	Receiver    ReceiverStatus `json:"walreceiver_status"`
	Safekeepers []string       `json:"safekeepers"`
	// Ancestor is what the timeline branches off, nil if nothing, Children are
	// what branches off it.
	Ancestor *remote.BranchPoint  `json:"ancestor,omitempty"`
	Children []remote.BranchPoint `json:"children,omitempty"`
}

// attachLimit bounds the body of an AttachRequest.
const attachLimit = 64 << 10

// A NodeStatus answers GET /v1/status.
type NodeStatus struct {
	ID core.NodeID `json:"id"`
	// ObjectStore says what waits for the object store and why, "" if nothing
	// does.
	ObjectStore string         `json:"object_store"`
	Requests    objstore.Stats `json:"object_store_requests"`
}

// handler is the management interface.
func (n *node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		http1.WriteJSON(w, NodeStatus{ID: n.cfg.ID, ObjectStore: n.store.Trouble(), Requests: n.store.Stats()})
	})
	mux.HandleFunc("POST /v1/tenant/{tenant}/timeline", n.postTimeline)
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline", n.getTimelines)
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline/{timeline}", n.withTimeline(n.getTimeline))
	mux.HandleFunc("DELETE /v1/tenant/{tenant}/timeline/{timeline}", n.removeTimeline)
	mux.HandleFunc("PUT /v1/tenant/{tenant}/timeline/{timeline}/checkpoint", n.withTimeline(n.putCheckpoint))
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline/{timeline}/boot", n.withTimeline(n.getBoot))
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline/{timeline}/relations", n.withTimeline(n.getRelations))
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline/{timeline}/page_chain", n.withTimeline(n.getChain))
	mux.HandleFunc("GET /v1/tenant/{tenant}/timeline/{timeline}/get_lsn_by_timestamp", n.withTimeline(n.getLSNByTime))
	return mux
}

func (n *node) postTimeline(w http.ResponseWriter, r *http.Request) {
	tenant, err := core.ParseTenantID(r.PathValue("tenant"))
	var req AttachRequest
	if err == nil {
		err = http1.ReadJSON(r, attachLimit, &req)
	}
	if err == nil && len(req.Safekeepers) == 0 {
		err = errors.New("safekeepers: want host:port of one at least")
	}
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	id := core.TTID{Tenant: tenant, Timeline: req.Timeline}
	ctx, cancel := xsync.WithTimeout(r.Context(), n.e, branchPatience)
	defer cancel()
	var a *attached
	if req.Ancestor != (core.TimelineID{}) {
		err = n.branch(ctx, tenant, &req)
	}
	if err == nil {
		a, err = n.attachSoon(ctx, id, req.Safekeepers)
	}
	if err == nil || statusOf(err) >= http.StatusInternalServerError && xsync.Cause(r.Context()) == nil {
		n.troubled(timelineDir(id), err)
	}
	switch {
	case errors.Is(err, env.ErrNotFound):
		http1.WriteError(w, http.StatusNotFound, fmt.Errorf("%w: import it first", err))
	case err != nil:
		http1.WriteError(w, statusOf(err), err)
	default:
		w.WriteHeader(http.StatusCreated)
		http1.WriteJSON(w, n.info(a))
	}
}

func (n *node) getTimelines(w http.ResponseWriter, r *http.Request) {
	list := []TimelineInfo{}
	for _, a := range n.list() {
		if a.t.id.Tenant.String() == r.PathValue("tenant") {
			list = append(list, n.info(a))
		}
	}
	http1.WriteJSON(w, list)
}

// withTimeline finds the timeline that a path names. One that was attached
// before this start and is not yet again will be: the answer is to ask later,
// not that there is no such thing.
func (n *node) withTimeline(f func(http.ResponseWriter, *http.Request, *attached)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := n.lookup(r.PathValue("tenant"), r.PathValue("timeline"))
		if err != nil {
			status := http.StatusNotFound
			if n.comes(r.PathValue("tenant"), r.PathValue("timeline")) {
				status = http.StatusServiceUnavailable
			}
			http1.WriteError(w, status, err)
			return
		}
		if !a.users.Enter() {
			http1.WriteError(w, http.StatusServiceUnavailable, fmt.Errorf("%w any more: %s", errNotAttached, a.t.id))
			return
		}
		defer a.users.Leave()
		ctx, stop := a.within(r.Context())
		defer stop()
		f(w, r.WithContext(ctx), a)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func (n *node) getTimeline(w http.ResponseWriter, _ *http.Request, a *attached) {
	http1.WriteJSON(w, n.info(a))
}

// uploadPatience bounds what a checkpoint waits for the object store.
const uploadPatience = 5 * time.Minute

// putCheckpoint flushes all that was ingested and, with wait_upload=true, waits
// until it is in the object store.
func (n *node) putCheckpoint(w http.ResponseWriter, r *http.Request, a *attached) {
	if err := a.t.Flush(r.Context()); err != nil {
		http1.WriteError(w, http.StatusInternalServerError, err)
		return
	}
	if r.FormValue("wait_upload") == "true" {
		ctx, cancel := xsync.WithTimeout(r.Context(), n.e, uploadPatience)
		defer cancel()
		if err := a.awaitUpload(ctx); err != nil {
			http1.WriteError(w, statusOf(err), err)
			return
		}
	}
	http1.WriteJSON(w, n.info(a))
}

// getBoot waits for the LSN as a page request does.
func (n *node) getBoot(w http.ResponseWriter, r *http.Request, a *attached) {
	lsn, ok := n.waitFor(w, r, a)
	if !ok {
		return
	}
	set, err := a.t.Boot(r.Context(), lsn)
	if err != nil {
		writeReadError(w, err)
		return
	}
	http1.WriteJSON(w, set)
}

func (n *node) getRelations(w http.ResponseWriter, r *http.Request, a *attached) {
	spc, err := strconv.ParseUint(r.FormValue("spc"), 10, 32)
	db, err2 := strconv.ParseUint(r.FormValue("db"), 10, 32)
	if err = errors.Join(err, err2); err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	lsn, ok := n.waitFor(w, r, a)
	if !ok {
		return
	}
	rels := a.t.Relations(bootset.Database{Spc: core.OID(spc), DB: core.OID(db)}, lsn)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(bootset.AppendRelations(nil, rels))
}

func (n *node) getLSNByTime(w http.ResponseWriter, r *http.Request, a *attached) {
	at, err := time.Parse(time.RFC3339Nano, r.FormValue("timestamp"))
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	lsn, kind := a.t.LSNAt(at.Sub(postgresEpoch).Microseconds())
	http1.WriteJSON(w, map[string]any{"lsn": lsn, "kind": kind})
}

// waitFor waits until the LSN of the query can be read.
func (n *node) waitFor(w http.ResponseWriter, r *http.Request, a *attached) (core.LSN, bool) {
	lsn, err := core.ParseLSN(r.FormValue("lsn"))
	if err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return 0, false
	}
	if _, err := a.t.ReadLSN(r.Context(), lsn, lsn, n.cfg.waitLSN()); err != nil {
		writeReadError(w, err)
		return 0, false
	}
	return lsn, true
}

func writeReadError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrBadLSN):
		status = http.StatusBadRequest
	case errors.Is(err, ErrBehind):
		status = http.StatusServiceUnavailable
	}
	http1.WriteError(w, status, err)
}

func (n *node) info(a *attached) TimelineInfo {
	t := a.t
	last := t.LastRecord()
	info := TimelineInfo{
		Tenant: t.id.Tenant, Timeline: t.id.Timeline, State: "Active",
		LastRecord: last.LSN, PrevRecord: last.Prev, MinReadable: t.root().index.LSN,
		DiskConsistent: t.DiskConsistent().LSN,
		Major:          t.index.Major, SystemID: t.index.SystemID, SegmentSize: t.index.SegmentSize, MemoryBytes: t.memoryBytes(),
		Receiver: a.receiver.Status(), Safekeepers: a.receiver.list(),
	}
	info.Layers, info.LayerBytes = t.LayerCount()
	info.Resumed, info.Ingested = t.Resumed()
	info.Waiting = int(t.waiting.Load())
	info.Waits = append(t.Waits(), n.storeWaits(a)...)
	p := a.up.Progress()
	info.Generation, info.RemoteConsistent, info.Superseded = p.Generation, p.Stored, p.Superseded
	info.Ancestor = t.index.Ancestor
	if o := a.up.Owner(); o != nil {
		info.Superseded = info.Superseded || o.Superseded() != nil
		info.Children = o.Index().Children
	}
	if err := t.Err(); err != nil {
		info.State, info.Reason = "Broken", err.Error()
	}
	return info
}
