package safekeeper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/wal"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// PullRequest is the body of POST /v1/pull_timeline: make a copy of a timeline,
// of which this safekeeper is a member in Config, from the most advanced of
// those that have it. Repeating it is fine.
type PullRequest struct {
	Tenant   core.TenantID   `json:"tenant_id"`
	Timeline core.TimelineID `json:"timeline_id"`
	Hosts    []string        `json:"http_hosts"` // host:port of each that may have it
	Config   configuration   `json:"mconf"`
	// Disk is what the disk is called that the copy is for; "" is any. On another
	// one than that of the record of the members there is to be no copy.
	Disk string `json:"disk,omitempty"`
}

// NewPullRequest asks for a copy from some of donors, onto the disk of a name.
func NewPullRequest(id core.TTID, c consensus.Configuration, donors []consensus.Member, disk string) PullRequest {
	r := PullRequest{Tenant: id.Tenant, Timeline: id.Timeline, Config: encodeConfiguration(c), Disk: disk}
	for _, m := range donors {
		r.Hosts = append(r.Hosts, m.Addr())
	}
	return r
}

// errOtherDisk reports that a safekeeper has another disk than the one that a
// copy is for.
var errOtherDisk = fmt.Errorf("its disk was replaced: %w", errConflict)

// errBusy reports something that goes on already.
var errBusy = errors.New("it is being copied here already")

func (n *Node) postPull(w http.ResponseWriter, r *http.Request) {
	var b PullRequest
	if err := http1.ReadJSON(r, membershipLimit, &b); err != nil {
		http1.WriteError(w, http.StatusBadRequest, err)
		return
	}
	id, conf := core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}, b.Config.decode()
	if err := conf.Check(); err != nil || !conf.Has(n.cfg.NodeID) {
		http1.WriteError(w, http.StatusBadRequest, errors.Join(err, fmt.Errorf("copy timeline %s to safekeeper %d: it is not of %s", id, n.cfg.NodeID, conf)))
		return
	}
	if own := n.disk(); b.Disk != "" && b.Disk != own {
		writeRefusal(w, fmt.Errorf("copy timeline %s to safekeeper %d: %w: its copy is to be on disk %.40q, and this is disk %s", id, n.cfg.NodeID, errOtherDisk, b.Disk, own))
		return
	}
	s, err := n.pull(r.Context(), id, conf, b.Hosts)
	if err != nil {
		writeRefusal(w, fmt.Errorf("copy timeline %s to safekeeper %d: %w", id, n.cfg.NodeID, err))
		return
	}
	http1.WriteJSON(w, s)
}

// pull makes sure that the timeline is here with a configuration, as a copy if
// it is not yet. The roster says that a copy is being made before there is any
// file of it, and that it is whole after all are durable: whatever a crash
// leaves in between is removed by the next start.
func (n *Node) pull(ctx context.Context, id core.TTID, conf consensus.Configuration, hosts []string) (Standing, error) {
	t, err := n.mayPull(id, conf)
	if err != nil {
		return Standing{}, err
	}
	if t != nil {
		return t.configure(conf)
	}
	donors, err := n.donors(ctx, id, hosts)
	if err != nil {
		return Standing{}, err
	}
	if err := n.beginPull(id, conf); err != nil {
		return Standing{}, err
	}
	from, err := n.copyFromAny(ctx, id, conf, donors)
	if t, err = n.endPull(id, conf, err); err != nil {
		return Standing{}, err
	}
	n.e.Log().Info("timeline copied", "timeline", id.String(), "from", uint64(from.ID), "configuration", conf.String())
	return t.configure(conf)
}

// mayPull finds a timeline that is here already, or tells why there is to be
// none.
func (n *Node) mayPull(id core.TTID, conf consensus.Configuration) (*Timeline, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.timelines[id]; t != nil {
		if t.pos.Get().Failed {
			return nil, t.unusable()
		}
		return t, nil
	}
	return nil, n.mayCome(id, conf.Generation)
}

// mayCome tells why a timeline is not to be made here with a generation: it is
// being copied, or there is a tombstone. The caller locks.
func (n *Node) mayCome(id core.TTID, g core.Generation) error {
	e := n.roster.entry(id)
	switch {
	case n.pulling[id]:
		return errBusy
	case e == nil || faults.On && faults.Hit(faults.PullRevives):
		return nil
	case e.Deleted && e.Excluded == 0:
		return errDeleted
	case e.Deleted && e.Excluded >= g:
		return fmt.Errorf("%w: generation %d took it away, %d was given", errConflict, e.Excluded, g)
	}
	return nil
}

// donors asks all who may have the timeline where they are, and lists those that
// have it: the most advanced first, and last those that lost the end of their
// log.
func (n *Node) donors(ctx context.Context, id core.TTID, hosts []string) (list []consensus.Member, err error) {
	ctx, cancel := xsync.WithTimeout(ctx, n.e, peerPatience)
	defer cancel()
	found := make([]consensus.PeerReport, len(hosts))
	errs := make([]error, len(hosts))
	g := xsync.NewGroup(ctx, n.e)
	for i, host := range hosts {
		g.Go("asking a donor", func(ctx context.Context) error {
			found[i], errs[i] = n.askDonor(ctx, id, host)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var order []int
	for i := range hosts {
		if errs[i] == nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := found[a], found[b]
		switch {
		case x.Wounded != y.Wounded && y.Wounded, x.Wounded == y.Wounded && y.Position().Less(x.Position()):
			return -1
		case x.Wounded != y.Wounded, x.Position().Less(y.Position()):
			return 1
		}
		return 0
	})
	for _, i := range order {
		m, err := consensus.ParseMember(found[i].Node, hosts[i])
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("nobody has it: %w", errors.Join(errs...))
	}
	return list, nil
}

// copyFromAny copies from the first donor that has all of it good.
func (n *Node) copyFromAny(ctx context.Context, id core.TTID, conf consensus.Configuration, donors []consensus.Member) (from consensus.Member, err error) {
	var errs []error
	for _, from := range donors {
		err := n.copyTimeline(ctx, id, conf, from)
		if err == nil || canRetry(err) || ctx.Err() != nil {
			return from, err
		}
		errs = append(errs, fmt.Errorf("from safekeeper %d: %w", from.ID, err))
	}
	return from, errors.Join(errs...)
}

// askDonor asks one.
func (n *Node) askDonor(ctx context.Context, id core.TTID, host string) (r consensus.PeerReport, err error) {
	var node NodeStatus
	if err := http1.Call(ctx, n.e, host, "GET", "/v1/status", nil, &node); err != nil {
		return r, err
	}
	var s TimelineStatus
	if err := http1.Call(ctx, n.e, host, "GET", RouteTo(node.ID, timelinePath(id)+"?history=no"), nil, &s); err != nil {
		return r, err
	}
	if s.Failed != "" {
		return r, fmt.Errorf("safekeeper %d: %s", node.ID, s.Failed)
	}
	return s.report(node.ID), nil
}

// timelinePath is where a safekeeper tells of a timeline.
func timelinePath(id core.TTID) string {
	return "/v1/tenant/" + id.Tenant.String() + "/timeline/" + id.Timeline.String()
}

// beginPull notes that a copy is being made.
func (n *Node) beginPull(id core.TTID, conf consensus.Configuration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timelines[id] != nil {
		return errBusy // it has just come
	}
	if err := n.mayCome(id, conf.Generation); err != nil {
		return err
	}
	next := n.roster.clone()
	next.add(id)
	next.entry(id).Copying = conf.Generation
	if err := n.saveRoster(next); err != nil {
		return err
	}
	if err := removeDir(n.e.FS(), dirOf(id)); err != nil {
		return err
	}
	n.pulling[id] = true
	return nil
}

// endPull takes the copy into service, or takes it away because it failed or
// because the timeline was deleted or excluded meanwhile.
func (n *Node) endPull(id core.TTID, conf consensus.Configuration, err error) (*Timeline, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pulling, id)
	if e := n.roster.entry(id); err == nil && (e == nil || e.Copying != conf.Generation) {
		err = fmt.Errorf("%w meanwhile", errDeleted)
	}
	next := n.roster.clone()
	if err == nil {
		*next.entry(id) = rosterEntry{Tenant: id.Tenant, Timeline: id.Timeline}
		err = n.saveRoster(next)
	}
	if err != nil {
		return nil, n.dropPull(id, err)
	}
	t := newTimeline(n, id)
	n.timelines[id] = t
	if err := t.load(false); err != nil {
		return nil, err
	}
	at := t.pos.Get()
	n.e.Trace().Note("safekeeper.pulled", id.Timeline.Tag(), uint64(at.Term), uint64(at.Flush), uint64(at.Commit))
	return t, nil
}

// dropPull removes what there is of a copy, and then what is known of it; the
// caller locks. If that fails, the next attempt or the next start does it.
func (n *Node) dropPull(id core.TTID, why error) error {
	disk, dir := n.e.FS(), dirOf(id)
	if _, err := disk.Stat(dir); err == nil {
		if err := errors.Join(removeDir(disk, dir), disk.SyncDir(path.Dir(dir))); err != nil {
			return errors.Join(why, err)
		}
	}
	next := n.roster.clone()
	next.uncopied(id)
	return errors.Join(why, n.saveRoster(next))
}

// dropPulls removes the copies that a crash has left unfinished.
func (n *Node) dropPulls() error {
	for _, e := range n.roster.clone().Timelines {
		if e.Copying == 0 {
			continue
		}
		if err := n.dropPull(e.ttid(), nil); err != nil {
			return fmt.Errorf("remove what there is of a copy of timeline %s: %w", e.ttid(), err)
		}
	}
	return nil
}

// copyTimeline makes the files: WAL first, the control file last.
func (n *Node) copyTimeline(ctx context.Context, id core.TTID, conf consensus.Configuration, from consensus.Member) error {
	var s snapshot
	route := fmt.Sprintf("%s/snapshot/%s", timelinePath(id), n.copierName())
	if err := http1.Call(ctx, n.e, from.Addr(), "GET", RouteTo(from.ID, route), nil, &s); err != nil {
		return err
	}
	c, err := decodeControl(s.Control, from.ID, id)
	if err != nil {
		return fmt.Errorf("control file of safekeeper %d: %w", from.ID, err)
	}
	if s.First > s.Flush || s.First.SegmentOffset(c.Server.SegmentSize) != 0 || s.Commit < s.First && s.Commit < c.LocalStart || s.Commit > s.Flush {
		return fmt.Errorf("safekeeper %d has WAL from %s to %s of a log that begins at %s", from.ID, s.First, s.Flush, c.LocalStart)
	}
	if err := mkdirs(n.e.FS(), dirOf(id)); err != nil {
		return err
	}
	if err := removeFiles(n.e.FS(), dirOf(id)); err != nil { // what another donor left
		return err
	}
	if err := n.copyWAL(ctx, id, &c, &s, from); err != nil {
		return err
	}
	// It has promised what its donor has, and was acknowledged to nobody.
	c.Config, c.Commit, c.History = conf, s.Commit, c.History.UpTo(s.Flush)
	c.LocalStart, c.Lost = max(c.LocalStart, s.First), 0
	return writeSealed(n.e.FS(), dirOf(id), controlName, controlMagic, encodeControl(n.cfg.NodeID, id, &c))
}

// copierName is what this safekeeper calls itself where it reads WAL: the name
// of its hold there.
func (n *Node) copierName() string { return fmt.Sprintf("%s%d", copierPrefix, n.cfg.NodeID) }

const copierPrefix = "safekeeper_"

// copyWAL writes the segments. What is committed never changes; what is above is
// read as the log of one term, which ends when it may have been cut.
func (n *Node) copyWAL(ctx context.Context, id core.TTID, c *consensus.Control, s *snapshot, from consensus.Member) error {
	if s.First == s.Flush {
		return nil
	}
	var term core.Term
	if s.Flush > s.Commit {
		term = c.Term
	}
	src, err := wire.OpenWALCopy(ctx, n.e, from, wire.ClientConfig{
		ApplicationName: n.copierName(), TTID: id, Timeout: peerPatience,
	}, s.First, term, s.Last)
	if err != nil {
		return err
	}
	defer src.Close()
	format, err := formatOf(c.Server)
	if err != nil {
		return err
	}
	start := max(s.First, c.TimelineStart)
	check := wal.NewDecoder(format, start, 0).Strict()
	segs := segments{disk: n.e.FS(), dir: dirOf(id), size: c.Server.SegmentSize}
	defer segs.close()
	for at := s.First; at < s.Flush; {
		b, err := src.Next()
		if err != nil {
			return err
		}
		b = b[:min(core.LSN(len(b)), s.Flush-at)]
		if err := feedFrom(check, start, at, b); err != nil && !(faults.On && faults.Hit(faults.CopyUnchecked)) {
			return fmt.Errorf("safekeeper %d gives WAL that is damaged: %w", from.ID, err)
		}
		if _, err := segs.write(at, b); err != nil {
			return err
		}
		at += core.LSN(len(b))
	}
	if end := check.Partial(); end < s.Flush && !(faults.On && faults.Hit(faults.CopyUnchecked)) {
		return fmt.Errorf("safekeeper %d gives WAL that is damaged: the record at %s does not end by %s: %w", from.ID, end, s.Flush, env.ErrCorrupt)
	}
	if err := segs.sync(); err != nil {
		return err
	}
	return segs.disk.SyncDir(segs.dir)
}
