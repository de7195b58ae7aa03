// Package cluster is the nodes of one installation, as who makes, serves and
// removes timelines on them sees them.
//
// Start at [Cluster].
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/role"
	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/consensus/migrate"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// A Cluster is safekeepers and a pageserver.
type Cluster struct {
	Env env.Env
	// Safekeepers are those that there are, unless Members says it.
	Safekeepers []role.Member
	Members     *Members
	Pageserver  string // host:port
}

// Call asks a node's management interface. It ends with ctx.
func (c Cluster) Call(ctx context.Context, addr, method, path string, body, out any) error {
	part, cancel := Foreign(ctx)
	defer cancel(nil)
	return http1.Call(part, c.Env, addr, method, path, body, out)
}

// Foreign is a context for parts that ends with one of the standard library.
func Foreign(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	c, cancel := xsync.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return c, func(cause error) { stop(); cancel(cause) }
}

// stragglers is how long safekeepers that do not answer are waited for once a
// majority has what is asked of all.
const stragglers = time.Second

// CreateWAL creates a branch's timeline on the safekeepers; initial is the WAL
// of its first segment up to its start, if there is any. Once a majority has
// it, those that do not answer soon are missing. Repeating it is fine.
func (c Cluster) CreateWAL(ctx context.Context, b branch.Branch, initial []byte) (missing []core.NodeID, err error) {
	first, err := c.enter(ctx, b)
	if err != nil {
		return nil, err
	}
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var mu sync.Mutex
	made := 0
	err = each(first.Members, func(m consensus.Member) error {
		err := patiently(ctx, restarting, func() error { return c.createOn(ctx, m, first, b, initial) })
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			missing = append(missing, m.ID)
			return err
		}
		if made++; made >= consensus.Majority(len(first.Members)) {
			time.AfterFunc(stragglers, giveUp)
		}
		return nil
	})
	if made < consensus.Majority(len(first.Members)) {
		return nil, err
	}
	slices.Sort(missing)
	return missing, nil
}

// CompleteWAL creates a branch's timeline on the safekeepers that were missing
// when it was made. A safekeeper that has promised something and lost it must
// never be given an empty log: that is why it is known which never had one.
//
// After a change of members whoever lacks the timeline gets a copy instead.
func (c Cluster) CompleteWAL(ctx context.Context, b branch.Branch) error {
	first, err := c.enter(ctx, b)
	if err != nil {
		return err
	}
	if first.Generation > 1 {
		_, err := c.ChangeMembers(ctx, b, migrate.Edit{Blank: b.Missing})
		return err
	}
	return each(first.Members, func(m consensus.Member) error {
		if !slices.Contains(b.Missing, m.ID) {
			return nil
		}
		return c.createOn(ctx, m, first, b, nil)
	})
}

func (c Cluster) createOn(ctx context.Context, m consensus.Member, first consensus.Configuration, b branch.Branch, initial []byte) error {
	if b.Start.SegmentOffset(b.SegmentSize) == 0 {
		initial = nil
	}
	server := consensus.Server{PGVersion: b.PGVersion, SystemID: b.SystemID, SegmentSize: b.SegmentSize}
	body := safekeeper.NewCreation(b.TTID(), first, server, b.Start, initial)
	if err := c.Call(ctx, m.Addr(), "POST", safekeeper.RouteTo(m.ID, "/v1/tenant/timeline"), body, nil); err != nil {
		return fmt.Errorf("create the timeline on safekeeper %d: %w", m.ID, err)
	}
	return nil
}

// RemoveWAL takes a timeline from every safekeeper. Repeating it is fine.
func (c Cluster) RemoveWAL(ctx context.Context, id core.TTID) error {
	// Nobody who changes its members is to copy it to anywhere any more.
	part, cancel := Foreign(ctx)
	defer cancel(nil)
	if err := membership.Delete(part, c.Env, id); err != nil {
		return err
	}
	return c.each(func(m role.Member) error {
		err := c.Call(ctx, m.Listen, "DELETE", safekeeper.RouteTo(m.ID, timelinePath(id)), nil, nil)
		if err != nil && !isMissing(err) {
			return fmt.Errorf("remove the timeline from safekeeper %d: %w", m.ID, err)
		}
		return nil
	})
}

// each does something with every safekeeper at once.
func (c Cluster) each(f func(role.Member) error) error { return each(c.safekeepers(), f) }

// each does something with every member of a list at once.
func each[M any](list []M, f func(M) error) error {
	var tasks []func() error
	for _, m := range list {
		tasks = append(tasks, func() error { return f(m) })
	}
	return AtOnce(tasks...)
}

// AtOnce does several things at once and returns when all are done, with
// their errors on one line.
func AtOnce(tasks ...func() error) error {
	errs := make([]error, len(tasks))
	var all sync.WaitGroup
	for i, f := range tasks {
		all.Go(func() { errs[i] = f() })
	}
	all.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return several(errs)
}

// several errors are told in one line.
type several []error

func (s several) Error() string {
	var texts []string
	for _, err := range s {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (s several) Unwrap() []error { return s }

// Make makes a branch on the pageserver and in the object store. While the
// pageserver is away, or does not serve the parent yet, it tries again.
// Repeating it is fine.
func (c Cluster) Make(ctx context.Context, b branch.Branch) error {
	return patiently(ctx, func(err error) bool { return restarting(err) || isMissing(err) },
		func() error { return c.Attach(ctx, b) })
}

// Attach makes the pageserver serve a branch; one that has a parent and is not
// in the object store yet is made. Repeating it is fine.
func (c Cluster) Attach(ctx context.Context, b branch.Branch) error {
	req := attachRequest{AttachRequest: pageserver.AttachRequest{Timeline: b.Timeline}, Ancestor: b.Ancestor}
	if b.Parent != "" {
		req.AncestorStart = b.Start
	}
	addrs, err := c.addresses(ctx, b)
	if err != nil {
		return err
	}
	req.Safekeepers = addrs
	if err := c.Call(ctx, c.Pageserver, "POST", "/v1/tenant/"+b.Tenant.String()+"/timeline", req, nil); err != nil {
		return fmt.Errorf("attach branch %s to the pageserver: %w", b.Name, err)
	}
	return nil
}

type attachRequest struct {
	pageserver.AttachRequest
	Ancestor      core.TimelineID `json:"ancestor_timeline_id,omitzero"`
	AncestorStart core.LSN        `json:"ancestor_start_lsn,omitzero"`
}

// Pages asks the pageserver how a timeline is.
func (c Cluster) Pages(ctx context.Context, id core.TTID) (info pageserver.TimelineInfo, err error) {
	err = c.Call(ctx, c.Pageserver, "GET", timelinePath(id), nil, &info)
	return info, err
}

// LSNAt asks the pageserver as of which LSN a timeline was as it was at a time.
// kind is the pageserver's word for where that lies, see
// [pageserver.Timeline.LSNAt].
func (c Cluster) LSNAt(ctx context.Context, id core.TTID, t time.Time) (lsn core.LSN, kind string, err error) {
	var answer struct {
		LSN  core.LSN `json:"lsn"`
		Kind string   `json:"kind"`
	}
	path := timelinePath(id) + "/get_lsn_by_timestamp?timestamp=" + url.QueryEscape(t.UTC().Format(time.RFC3339Nano))
	err = c.Call(ctx, c.Pageserver, "GET", path, nil, &answer)
	return answer.LSN, answer.Kind, err
}

// RemovePages takes a timeline from the pageserver and the object store.
// Repeating it is fine.
func (c Cluster) RemovePages(ctx context.Context, id core.TTID) error {
	err := c.Call(ctx, c.Pageserver, "DELETE", timelinePath(id), nil, nil)
	if err != nil && !isMissing(err) {
		return fmt.Errorf("remove the timeline from the pageserver: %w", err)
	}
	return nil
}

// Committed is the newest LSN up to which a safekeeper that answers knows the
// WAL of a timeline to be committed; 0 if none knows the timeline.
func (c Cluster) Committed(ctx context.Context, id core.TTID) (core.LSN, error) {
	var mu sync.Mutex
	var newest core.LSN
	answers := 0
	err := c.each(func(m role.Member) error {
		var s safekeeper.TimelineStatus
		if err := c.Call(ctx, m.Listen, "GET", safekeeper.RouteTo(m.ID, timelinePath(id)), nil, &s); err != nil {
			return fmt.Errorf("safekeeper %d: %w", m.ID, err)
		}
		mu.Lock()
		defer mu.Unlock()
		newest = max(newest, s.Commit)
		answers++
		return nil
	})
	if answers == 0 {
		return 0, err
	}
	return newest, nil
}

func timelinePath(id core.TTID) string {
	return "/v1/tenant/" + id.Tenant.String() + "/timeline/" + id.Timeline.String()
}

// retryEvery is the pause between two requests to a node that is away.
const retryEvery = 50 * time.Millisecond

// patiently repeats a request that can be repeated while its error is one that
// passes, until ctx ends.
func patiently(ctx context.Context, passes func(error) bool, f func() error) error {
	for {
		err := f()
		if err == nil || !passes(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// restarting tells whether an error is that of a node that is being started, or
// of a connection to one that died.
func restarting(err error) bool {
	var s *http1.StatusError
	if errors.As(err, &s) {
		return s.Status == http.StatusServiceUnavailable
	}
	for _, kind := range []error{env.ErrConnRefused, env.ErrConnReset, env.ErrTimeout, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func isMissing(err error) bool {
	var s *http1.StatusError
	return errors.As(err, &s) && s.Status == http.StatusNotFound
}
