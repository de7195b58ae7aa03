package up

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/home"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/pageserver"
)

// A control takes commands on the installation's socket.
type control struct {
	net.Listener
	name string
}

func (c control) close() {
	c.Listener.Close()
	// The listener may know its socket by a shorter name that is no more.
	os.Remove(c.name)
}

// serveControl takes commands until the control is closed. stop is called for
// POST /stop.
func (in *installation) serveControl(stop func()) (*control, error) {
	name := home.Socket(in.home.Dir)
	l, err := ctl.Listen(name)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	handle(mux, "GET /status", func(ctx context.Context, _ struct{}) (ctl.Status, error) { return in.status(ctx) })
	handle(mux, "POST /stop", func(context.Context, struct{}) (struct{}, error) { stop(); return struct{}{}, nil })
	handle(mux, "POST /endpoint/start", func(ctx context.Context, r startRequest) (ctl.Endpoint, error) {
		e, err := in.startEndpoint(ctx, r)
		if err == nil {
			err = e.awaitReady(ctx)
		}
		if err != nil {
			return ctl.Endpoint{}, err
		}
		return e.describe(ctx), nil
	})
	handle(mux, "POST /endpoint/stop", func(ctx context.Context, r struct{ Name string }) (struct{}, error) {
		return struct{}{}, in.stopEndpoint(ctx, r.Name)
	})
	handle(mux, "POST /endpoint/use", in.useBranch)
	mux.HandleFunc("POST /endpoint/open", in.openReadOnly)
	handle(mux, "POST /branch/create", func(ctx context.Context, r ctl.BranchRequest) (ctl.Branch, error) {
		b, err := in.branches.create(ctx, r)
		return describeBranch(b), err
	})
	handle(mux, "POST /branch/delete", func(ctx context.Context, r struct{ Name string }) (ctl.BranchRemoval, error) {
		return in.branches.remove(ctx, r.Name)
	})
	handle(mux, "POST /import", func(ctx context.Context, r struct{ Dir, Name string }) (*importResult, error) {
		in.starting.Lock()
		defer in.starting.Unlock()
		return in.importDir(ctx, r.Dir, r.Name, true)
	})
	handle(mux, "POST /export", in.describeExport)
	go http.Serve(l, mux)
	return &control{l, name}, nil
}

// handle serves one command: JSON in, JSON out, an error as {"error": text}.
func handle[In, Out any](mux *http.ServeMux, pattern string, f func(ctx context.Context, in In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var arg In
		if r.Method == "POST" {
			if err := json.NewDecoder(r.Body).Decode(&arg); err != nil {
				ctl.WriteError(w, http.StatusBadRequest, err)
				return
			}
		}
		out, err := f(r.Context(), arg)
		if err != nil {
			ctl.WriteError(w, http.StatusInternalServerError, err)
			return
		}
		ctl.WriteJSON(w, out)
	})
}

// status asks everybody how they are.
func (in *installation) status(ctx context.Context) (ctl.Status, error) {
	s := ctl.Status{
		Dir: in.home.Dir, PID: os.Getpid(),
		Endpoints: []ctl.Endpoint{}, Branches: []ctl.Branch{}, Safekeepers: []ctl.Safekeeper{}, Pageservers: []ctl.Pageserver{}, Notes: []string{},
	}
	all, trouble := in.objs.branches(ctx, in.env)
	s.Notes = append(s.Notes, trouble...)
	for _, e := range in.listEndpoints() {
		s.Endpoints = append(s.Endpoints, e.describe(ctx))
	}
	for _, m := range in.layout.Safekeepers {
		k := ctl.Safekeeper{ID: m.ID, Listen: m.Listen}
		k.PID, k.State = in.nodeState(fmt.Sprintf("safekeeper-%d", m.ID))
		in.askSafekeeper(ctx, &k, all)
		s.Safekeepers = append(s.Safekeepers, k)
	}
	p := ctl.Pageserver{ID: 1, Listen: in.layout.Pageserver}
	p.PID, p.State = in.nodeState("pageserver-1")
	in.askPageserver(ctx, &p, all, s)
	s.Pageservers = append(s.Pageservers, p)
	for _, b := range all {
		d := describeBranch(b)
		d.CommitLSN = committed(b, s)
		s.Branches = append(s.Branches, d)
	}
	s.Notes = append(s.Notes, notes(s)...)
	return s, nil
}

func (in *installation) nodeState(name string) (pid int, state string) {
	in.mu.Lock()
	t := in.tasks[name]
	in.mu.Unlock()
	if t == nil {
		return 0, "not started"
	}
	pid, last := t.state()
	switch {
	case in.opts.Processes && pid == 0 && last != nil:
		return 0, "ended: " + last.Error()
	case !in.opts.Processes:
		pid = os.Getpid()
	}
	return pid, "running"
}

func (in *installation) askSafekeeper(ctx context.Context, k *ctl.Safekeeper, all []branch.Branch) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var node safekeeper.NodeStatus
	if err := in.cluster().Call(ctx, k.Listen, "GET", "/v1/status", nil, &node); err != nil {
		k.State = "does not answer: " + err.Error()
		return
	}
	k.FreeBytes = uint64(max(0, node.FreeBytes))
	for _, b := range all {
		t := ctl.SafekeeperTL{Tenant: b.Tenant, Timeline: b.Timeline, State: "active", Receive: receiveLine(k.Listen, b)}
		var got safekeeper.TimelineStatus
		err := in.cluster().Call(ctx, k.Listen, "GET", "/v1/tenant/"+b.Tenant.String()+"/timeline/"+b.Timeline.String(), nil, &got)
		switch {
		case err != nil:
			t.State = err.Error()
		case got.Failed != "":
			t.State = got.Failed
		case got.Waiting != "":
			t.State = "waiting: " + got.Waiting
		}
		t.Term, t.FlushLSN, t.CommitLSN, t.WALBytes, t.Syncs = got.Acceptor.Term, got.Flush, got.Commit, uint64(max(0, got.WALBytes)), got.Syncs
		k.Timelines = append(k.Timelines, t)
	}
}

// receiveLine is how to follow a branch's WAL with PostgreSQL's own tool.
func receiveLine(listen string, b branch.Branch) string {
	host, port, _ := net.SplitHostPort(listen)
	return fmt.Sprintf(`pg_receivewal -D DIR -d "host=%s port=%s user=postgres options='-c tenant_id=%s -c timeline_id=%s'"`, host, port, b.Tenant, b.Timeline)
}

func (in *installation) askPageserver(ctx context.Context, p *ctl.Pageserver, all []branch.Branch, s ctl.Status) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	for _, b := range all {
		t := ctl.PageserverTL{Tenant: b.Tenant, Timeline: b.Timeline, State: "active"}
		var got pageserver.TimelineInfo
		err := in.cluster().Call(ctx, p.Listen, "GET", "/v1/tenant/"+b.Tenant.String()+"/timeline/"+b.Timeline.String(), nil, &got)
		switch {
		case err != nil:
			t.State = err.Error()
		case got.Reason != "":
			t.State = got.State + ": " + got.Reason
		case got.Receiver.Error != "" && got.LastRecord < committed(b, s):
			t.State = fmt.Sprintf("behind the commit LSN; the last stream of WAL ended with: %s", got.Receiver.Error)
		}
		t.LastRecordLSN = got.LastRecord
		p.Timelines = append(p.Timelines, t)
	}
}

func describeBranch(b branch.Branch) ctl.Branch {
	return ctl.Branch{
		Name: b.Name, Tenant: b.Tenant, Timeline: b.Timeline, Postgres: int(b.PGVersion / 10000),
		Parent: b.Parent, StartLSN: b.Start, Created: b.Created, CommitLSN: b.Start,
	}
}

// committed is how far a branch is committed, as far as any safekeeper or
// endpoint of a status knows.
func committed(b branch.Branch, s ctl.Status) core.LSN {
	lsn := b.Start
	for _, k := range s.Safekeepers {
		for _, t := range k.Timelines {
			if t.Timeline == b.Timeline {
				lsn = max(lsn, t.CommitLSN)
			}
		}
	}
	for _, e := range s.Endpoints {
		if e.Branch == b.Name && e.ReadOnlyLSN == 0 {
			lsn = max(lsn, e.CommitLSN)
		}
	}
	return lsn
}

// notes are the lines of a status that somebody has to act on.
func notes(s ctl.Status) (all []string) {
	for _, k := range s.Safekeepers {
		if k.State != "running" {
			all = append(all, fmt.Sprintf("safekeeper %d %s", k.ID, k.State))
		}
		for _, t := range k.Timelines {
			if t.State != "active" {
				all = append(all, fmt.Sprintf("safekeeper %d, timeline %s: %s", k.ID, t.Timeline, t.State))
			}
		}
	}
	for _, p := range s.Pageservers {
		if p.State != "running" {
			all = append(all, fmt.Sprintf("pageserver %d %s", p.ID, p.State))
		}
		for _, t := range p.Timelines {
			if t.State != "active" {
				all = append(all, fmt.Sprintf("pageserver %d, timeline %s: %s", p.ID, t.Timeline, t.State))
			}
		}
	}
	for _, e := range s.Endpoints {
		if e.Note != "" && !strings.EqualFold(e.Note, e.State) {
			all = append(all, fmt.Sprintf("endpoint %s: %s", e.Name, e.Note))
		}
	}
	return all
}
