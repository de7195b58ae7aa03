package up

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/pageserver"
)

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
	s.Safekeepers = in.askSafekeepers(ctx, all)
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
	s.Notes = append(s.Notes, in.branches.notes()...)
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

// askSafekeepers asks all safekeepers at once: one that is paused costs the
// patience for one.
func (in *installation) askSafekeepers(ctx context.Context, all []branch.Branch) []ctl.Safekeeper {
	keepers := in.members.All()
	answers := make([]ctl.Safekeeper, len(keepers))
	var asked sync.WaitGroup
	for i, m := range keepers {
		asked.Go(func() {
			k := &answers[i]
			k.ID, k.Listen = m.ID, m.Listen
			k.PID, k.State = in.nodeState(fmt.Sprintf("safekeeper-%d", m.ID))
			in.askSafekeeper(ctx, k, all)
		})
	}
	asked.Wait()
	return answers
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
		case got.Wounded != "":
			t.State = got.Wounded
		case got.Waiting != "":
			t.State = "waiting: " + got.Waiting
		}
		t.Term, t.FlushLSN, t.CommitLSN, t.WALBytes, t.Syncs = got.Acceptor.Term, got.Flush, got.Commit, uint64(max(0, got.WALBytes)), got.Syncs
		t.BackupLSN, t.LocalStart, t.Evicted, t.Held, t.Waits = got.Backup, got.LocalStart, got.Evicted, got.Held, got.OffloadError
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
	var node pageserver.NodeStatus
	if err := in.cluster().Call(ctx, p.Listen, "GET", "/v1/status", nil, &node); err == nil {
		p.Waits = node.ObjectStore // else its timelines say it
	}
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
		t.LastRecordLSN, t.DiskConsistentLSN, t.RemoteConsistentLSN = got.LastRecord, got.DiskConsistent, got.RemoteConsistent
		t.Generation, t.Layers, t.LayerBytes, t.MemoryBytes, t.Waits = got.Generation, got.Layers, got.LayerBytes, got.MemoryBytes, got.Waits
		p.Timelines = append(p.Timelines, t)
	}
}

func describeBranch(b branch.Branch) ctl.Branch {
	return ctl.Branch{
		Name: b.Name, Tenant: b.Tenant, Timeline: b.Timeline, Postgres: b.Major(),
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
			if t.Waits != "" {
				all = append(all, fmt.Sprintf("safekeeper %d, timeline %s: WAL stays on its disk: %s", k.ID, t.Timeline, t.Waits))
			}
		}
	}
	for _, p := range s.Pageservers {
		if p.State != "running" {
			all = append(all, fmt.Sprintf("pageserver %d %s", p.ID, p.State))
		}
		// What a timeline asks the store for, it says itself.
		if p.Waits != "" && !slices.ContainsFunc(p.Timelines, func(t ctl.PageserverTL) bool { return len(t.Waits) > 0 }) {
			all = append(all, fmt.Sprintf("pageserver %d: %s", p.ID, p.Waits))
		}
		for _, t := range p.Timelines {
			if t.State != "active" {
				all = append(all, fmt.Sprintf("pageserver %d, timeline %s: %s", p.ID, t.Timeline, t.State))
			}
			for _, w := range t.Waits {
				all = append(all, fmt.Sprintf("pageserver %d, timeline %s: %s", p.ID, t.Timeline, w))
			}
		}
	}
	for _, e := range s.Endpoints {
		if c := e.CrossCheck; c != nil && c.Mismatched > 0 {
			all = append(all, fmt.Sprintf("endpoint %s: %d of %d pages that its server wrote are not what redo makes of its WAL: see xenon redo report %s", e.Name, c.Mismatched, c.Checked, c.Reports))
		}
		if e.Note != "" && !strings.EqualFold(e.Note, e.State) {
			all = append(all, fmt.Sprintf("endpoint %s: %s", e.Name, e.Note))
		}
	}
	return all
}
