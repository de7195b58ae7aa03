package pageserver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wire"
	"xenon/core/wire/http1"
)

func timelineID(n byte) core.TTID {
	id := testTimeline
	id.Timeline[0] = n
	return id
}

func routeOf(id core.TTID) string {
	return fmt.Sprintf("/v1/tenant/%s/timeline/%s", id.Tenant, id.Timeline)
}

// branch asks for a branch of a timeline.
func (p *pserver) branch(parent, child core.TTID, at core.LSN, safekeepers ...string) error {
	req := pageserver.AttachRequest{Timeline: child.Timeline, Safekeepers: safekeepers, Ancestor: parent.Timeline, AncestorStart: at}
	return p.call("POST", "/v1/tenant/"+child.Tenant.String()+"/timeline", req, nil)
}

// stop ends the pageserver without a word to its disk.
func (p *pserver) stop() {
	p.env.Stop(errors.New("killed"))
	<-p.done
}

func (p *pserver) remove(id core.TTID) error { return p.call("DELETE", routeOf(id), nil, nil) }

func (p *pserver) timeline(id core.TTID) (info pageserver.TimelineInfo, err error) {
	err = p.call("GET", routeOf(id), nil, &info)
	return info, err
}

func (p *pserver) timelineReaches(id core.TTID, lsn core.LSN) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("%s of %s", lsn, id), func() error {
		info, err := p.timeline(id)
		if err == nil && info.LastRecord < lsn {
			err = fmt.Errorf("last record %s, %+v", info.LastRecord, info.Receiver)
		}
		return err
	})
}

func statusOf(err error) int {
	var s *http1.StatusError
	if errors.As(err, &s) {
		return s.Status
	}
	return 0
}

// checkTwig compares blocks of a timeline over the page service with the
// script, as of every record that it knows, those of its ancestors too.
func checkTwig(t *testing.T, p *pserver, id core.TTID, s *script) {
	t.Helper()
	c, err := wire.Connect(p.env.Context(), p.env, p.addr, wire.ClientConfig{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", id.Tenant, id.Timeline)); err != nil {
		t.Fatal(err)
	}
	for _, lsn := range s.lsns {
		n := s.states[lsn].Sizes[core.BlockKey(heapRel, 0)]
		var reqs []wire.PageRequest
		for blk := range n {
			reqs = append(reqs, wire.PageRequest{Kind: wire.PageGet, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel, Block: blk})
		}
		if n == 0 {
			continue
		}
		reqs = append(reqs, wire.PageRequest{Kind: wire.PageBlocks, LSN: lsn, NotModifiedSince: lsn, Rel: heapRel})
		got := ask(t, c, reqs...)
		for blk := range n {
			want, _ := s.states[lsn].Page(heapRel, blk)
			if len(got[blk].Pages) != core.PageSize || redo.Page(got[blk].Pages) != want {
				t.Errorf("%s as of %s block %d differs (%s)", id.Timeline, lsn, blk, got[blk].Message)
			}
		}
		if got[n].Blocks != n {
			t.Errorf("%s as of %s: %d blocks, want %d (%s)", id.Timeline, lsn, got[n].Blocks, n, got[n].Message)
		}
	}
}

// branchScript is the script of a branch that has n records of its own.
func branchScript(t *testing.T, w *world, s *script, at core.LSN, n int) *script {
	g := s.branch(w, at)
	rng := rand.New(rand.NewPCG(uint64(at), 9))
	for len(g.recs) < n {
		g.step(t, rng.IntN)
	}
	return g
}

// TestBranchOverHTTP: branches are made, nested, found again after a restart
// on the same disk and on an empty one, and deleted from the leaves to the
// root.
func TestBranchOverHTTP(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 60)
	dir := t.TempDir()
	p := w.run(t, dir)
	k := newKeeper(t, s, s.last())
	p.attach(k)
	p.reaches(s.last())

	child, grandchild := timelineID(0xC1), timelineID(0xC2)
	at := s.lsns[40] + 8 // within a record, or at the end of one
	cs := branchScript(t, w, s, at, 20)
	ck := newKeeper(t, cs, cs.last())
	if err := p.branch(testTimeline, child, at, ck.addr); err != nil {
		t.Fatal(err)
	}
	p.timelineReaches(child, cs.last())
	at2 := cs.last()
	gs := branchScript(t, w, cs, at2, 20)
	gk := newKeeper(t, gs, gs.last())
	if err := p.branch(child, grandchild, at2, gk.addr); err != nil {
		t.Fatal(err)
	}
	p.timelineReaches(grandchild, gs.last())
	check := func(p *pserver) {
		t.Helper()
		checkTwig(t, p, testTimeline, s)
		checkTwig(t, p, child, cs)
		checkTwig(t, p, grandchild, gs)
	}
	check(p)
	info, err := p.timeline(child)
	if err != nil || info.Ancestor == nil || info.Ancestor.LSN != at || len(info.Children) != 1 || info.Children[0].LSN != at2 {
		t.Errorf("the child says %+v, %v", info, err)
	}

	t.Run("asked again", func(t *testing.T) {
		if err := p.branch(testTimeline, child, at, ck.addr); err != nil {
			t.Error(err)
		}
		if err := p.branch(testTimeline, child, at-64, ck.addr); statusOf(err) != 409 {
			t.Errorf("the same child elsewhere: %v", err)
		}
	})
	if !t.Run("refused", func(t *testing.T) {
		if err := p.branch(testTimeline, timelineID(0xC3), w.im.Index.LSN-8, ck.addr); statusOf(err) != 400 || !strings.Contains(err.Error(), w.im.Index.LSN.String()) {
			t.Errorf("below the parent's beginning: %v", err)
		}
		if err := p.branch(child, timelineID(0xC3), at-8, ck.addr); statusOf(err) != 400 || !strings.Contains(err.Error(), at.String()) {
			t.Errorf("below the child's beginning: %v", err)
		}
		if err := p.branch(timelineID(0xEE), timelineID(0xC3), at, ck.addr); statusOf(err) != 404 {
			t.Errorf("of nothing: %v", err)
		}
		if err := p.remove(testTimeline); statusOf(err) != 409 || !strings.Contains(err.Error(), child.Timeline.String()) {
			t.Errorf("delete of a parent: %v", err)
		}
		if err := p.remove(child); statusOf(err) != 409 || !strings.Contains(err.Error(), grandchild.Timeline.String()) {
			t.Errorf("delete of a child with children: %v", err)
		}
		if err := p.remove(timelineID(0xEE)); statusOf(err) != 404 {
			t.Errorf("delete of nothing: %v", err)
		}
	}) {
		return
	}

	p.stop()
	p = w.run(t, dir)
	p.timelineReaches(grandchild, gs.last())
	p.timelineReaches(child, cs.last())
	p.timelineReaches(testTimeline, s.last())
	check(p)
	p.stop()

	// On an empty disk whoever wants the grandchild gets its ancestors too.
	p = w.run(t, t.TempDir())
	p.attach(k)
	if err := p.branch(testTimeline, child, at, ck.addr); err != nil {
		t.Fatal(err)
	}
	if err := p.branch(child, grandchild, at2, gk.addr); err != nil {
		t.Fatal(err)
	}
	p.timelineReaches(grandchild, gs.last())
	check(p)

	for _, id := range []core.TTID{grandchild, child, testTimeline} {
		for range 2 {
			if err := p.remove(id); err != nil {
				t.Errorf("delete of %s: %v", id.Timeline, err)
			}
		}
		if _, err := p.timeline(id); statusOf(err) != 404 {
			t.Errorf("%s after its deletion: %v", id.Timeline, err)
		}
	}
	if err := p.branch(testTimeline, child, at, ck.addr); err == nil {
		t.Error("a deleted child comes back")
	}
	if err := p.call("POST", "/v1/tenant/"+child.Tenant.String()+"/timeline",
		pageserver.AttachRequest{Timeline: child.Timeline, Safekeepers: []string{ck.addr}}, nil); statusOf(err) != 410 {
		t.Errorf("a deleted child is attached: %v", err)
	}
}

// TestBranchWaitsForParent: a branch above what the parent has waits for it.
func TestBranchWaitsForParent(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 60)
	k := newKeeper(t, s, s.lsns[30])
	p := w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(s.lsns[30])
	child := timelineID(0xC1)
	done := make(chan error, 1)
	go func() { done <- p.branch(testTimeline, child, s.last(), k.addr) }()
	if _, err := p.timeline(child); statusOf(err) != 404 {
		t.Errorf("a child ahead of its parent: %v", err)
	}
	k.set(func() { k.commit = s.last() })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	info, err := p.timeline(child)
	if err != nil || info.LastRecord != s.last() || info.PrevRecord != p.info().PrevRecord {
		t.Errorf("the child stands at %s after %s (%v), its parent's last record begins at %s", info.LastRecord, info.PrevRecord, err, p.info().PrevRecord)
	}
}

// TestDeleteWhileAttaching deletes a branch while its pageserver, just started
// again, attaches what it had: nothing of it is left or comes back.
func TestDeleteWhileAttaching(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 30)
	dir := t.TempDir()
	k := newKeeper(t, s, s.last())
	p := w.run(t, dir)
	p.attach(k)
	p.reaches(s.last())
	for n := range 6 {
		child := timelineID(byte(0xC0 + n))
		if err := p.branch(testTimeline, child, s.lsns[20], k.addr); err != nil {
			t.Fatal(err)
		}
		p.stop()
		p = w.run(t, dir)
		p.eventually("its deletion", func() error {
			err := p.remove(child)
			if statusOf(err) == 503 {
				return err // asked too early, and to be asked again
			}
			if err != nil {
				t.Error(err)
			}
			return nil
		})
		p.reaches(s.last())
		if _, err := p.timeline(child); statusOf(err) != 404 {
			t.Errorf("round %d: after its deletion: %v", n, err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "tenants", "*", "timelines", child.Timeline.String()))
		if err != nil || len(left) > 0 {
			t.Errorf("round %d: left behind: %v, %v", n, left, err)
		}
		if info := p.info(); len(info.Children) > 0 {
			t.Errorf("round %d: the parent has %v", n, info.Children)
		}
	}
}

// TestDeleteBeforeBranch: a branch that is deleted while its making waits for
// the parent is not made.
func TestDeleteBeforeBranch(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 60)
	k := newKeeper(t, s, s.lsns[30])
	p := w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(s.lsns[30])
	child := timelineID(0xC1)
	done := make(chan error, 1)
	go func() { done <- p.branch(testTimeline, child, s.last(), k.addr) }()
	// Some of these deletions come while the request waits.
	p.eventually("the branch to be given up", func() error {
		if err := p.remove(child); statusOf(err) != 404 {
			return fmt.Errorf("a deletion of what is not there says %v", err)
		}
		select {
		case err := <-done:
			done <- err
			return nil
		default:
		}
		k.set(func() { k.commit = min(k.commit+64, s.last()) })
		return errors.New("it is still waiting")
	})
	if err := <-done; statusOf(err) != 410 {
		t.Errorf("a branch that was deleted meanwhile: %v", err)
	}
	if info := p.info(); len(info.Children) > 0 {
		t.Errorf("the parent has %v", info.Children)
	}
}
