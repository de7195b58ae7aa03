package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/branch"
	"xenon/cmd/xenon/internal/cluster"
	"xenon/cmd/xenon/internal/ctl"
	"xenon/cmd/xenon/internal/moment"
	"xenon/cmd/xenon/internal/role"
	"xenon/compute"
	"xenon/core"
	"xenon/core/env"
	"xenon/realio"
)

// errKilled is what everything fails with once the process is killed.
var errKilled = errors.New("killed")

// A fuse counts what is done to the store and the nodes and kills the process
// at one step: before it is done, or after it, before the answer.
type fuse struct {
	mu    sync.Mutex
	steps int
	at    int // the step, 0 for never
	after bool
	blown bool
}

// pass runs one step.
func (f *fuse) pass(step func() error) error {
	f.mu.Lock()
	f.steps++
	hit := f.steps == f.at
	dead := f.blown
	f.blown = f.blown || hit
	f.mu.Unlock()
	if dead || hit && !f.after {
		return errKilled
	}
	err := step()
	if hit {
		return errKilled
	}
	return err
}

// A frailEnv is an environment whose store goes by a fuse.
type frailEnv struct {
	env.Env
	fuse *fuse
}

func (e frailEnv) Objects() env.ObjectStore { return frailStore{e.Env.Objects(), e.fuse} }

type frailStore struct {
	env.ObjectStore
	fuse *fuse
}

func (s frailStore) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (m env.ObjectMeta, err error) {
	err = s.fuse.pass(func() (err error) { m, err = s.ObjectStore.Put(ctx, key, b, o); return err })
	return m, err
}

func (s frailStore) Get(ctx context.Context, key string, o env.GetOpts) (r io.ReadCloser, m env.ObjectMeta, err error) {
	err = s.fuse.pass(func() (err error) { r, m, err = s.ObjectStore.Get(ctx, key, o); return err })
	return r, m, err
}

// nodes stand in for three safekeepers and a pageserver: they keep which
// timelines they have.
type nodes struct {
	cluster cluster.Cluster
	fuse    *fuse

	mu    sync.Mutex
	has   [4]map[string]bool // by node; the last is the pageserver
	away  [4]bool
	lsn   core.LSN
	kind  string
	start map[string]core.LSN
}

func newNodes(t *testing.T) *nodes {
	n := &nodes{fuse: &fuse{}, lsn: 0x5000, start: map[string]core.LSN{}}
	objects, err := realio.DirStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := realio.New(realio.Options{Objects: objects, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { e.Close(); objects.Close() })
	n.cluster.Env = frailEnv{e, n.fuse}
	for i := range n.has {
		n.has[i] = map[string]bool{}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.serve(i, w, r) }))
		t.Cleanup(s.Close)
		addr := s.Listener.Addr().String()
		if i < 3 {
			n.cluster.Safekeepers = append(n.cluster.Safekeepers, role.Member{ID: core.NodeID(i + 1), Listen: addr})
		} else {
			n.cluster.Pageserver = addr
		}
	}
	return n
}

func (n *nodes) serve(i int, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var answer any
	status := http.StatusOK
	err := n.fuse.pass(func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.away[i] {
			return errors.New("it is away")
		}
		answer, status = n.answer(i, r, body)
		return nil
	})
	switch {
	case errors.Is(err, errKilled):
		answer, status = map[string]string{"msg": err.Error()}, http.StatusInternalServerError
	case err != nil: // as of a node that is starting
		answer, status = map[string]string{"msg": err.Error()}, http.StatusServiceUnavailable
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

// answer does what a request asks for. The caller holds mu.
func (n *nodes) answer(i int, r *http.Request, body []byte) (any, int) {
	id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case r.Method == "POST":
		var req struct {
			Timeline, Made string
			Start          core.LSN `json:"start_lsn"`
		}
		var names map[string]json.RawMessage
		json.Unmarshal(body, &names)
		json.Unmarshal(names["timeline_id"], &req.Timeline)
		json.Unmarshal(names["new_timeline_id"], &req.Made)
		json.Unmarshal(body, &req)
		id = req.Timeline + req.Made
		n.has[i][id] = true
		if i < 3 {
			n.start[id] = req.Start
		}
	case r.Method == "DELETE":
		delete(n.has[i], id)
	case id == "get_lsn_by_timestamp":
		return map[string]any{"lsn": n.lsn, "kind": n.kind}, http.StatusOK
	case !n.has[i][id]:
		return map[string]string{"msg": "no such timeline"}, http.StatusNotFound
	default:
		return map[string]any{"commit_lsn": n.lsn, "last_record_lsn": n.lsn}, http.StatusOK
	}
	return struct{}{}, http.StatusOK
}

// branches is a process that makes branches on the nodes.
func (n *nodes) branches(t *testing.T) *branches {
	m := newBranches(t.Context(), n.cluster, slog.New(slog.DiscardHandler))
	m.newest = func(context.Context, branch.Branch) (core.LSN, error) { return 0, nil }
	m.unused = func(_ context.Context, _ branch.Branch, f func() error) error { return f() }
	return m
}

// found makes the branch that others begin from.
func (n *nodes) found(t *testing.T) branch.Branch {
	t.Helper()
	b := branch.Branch{Name: branch.Main, Timeline: core.TimelineID{1}, SystemID: 7, SegmentSize: 16 << 20, PGVersion: 150018,
		Start: 0x2000, Created: time.Now().Add(-time.Hour), Settings: map[string]string{"max_connections": "77"}}
	b.OwnRegisters()
	if err := branch.Create(t.Context(), n.cluster.Env, b); err != nil {
		t.Fatal(err)
	}
	for i := range n.has {
		n.has[i][b.Timeline.String()] = true
	}
	if err := compute.KeepFile(t.Context(), n.cluster.Env, b.RegisterName(), "postgresql.auto.conf", []byte("work_mem = '7MB'\n")); err != nil {
		t.Fatal(err)
	}
	return b
}

// whole checks that a branch is all there, or nothing of it.
func (n *nodes) whole(ctx context.Context, name string) (there bool, err error) {
	entry, err := branch.Find(ctx, n.cluster.Env, name)
	if err != nil {
		return false, err
	}
	switch entry.State {
	case branch.Live:
		for i := range n.has {
			if !n.has[i][entry.Timeline.String()] || len(n.has[i]) != 2 {
				return true, fmt.Errorf("%s is live, and node %d has %v", name, i+1, n.has[i])
			}
		}
		auto, _, err := compute.KeptFile(ctx, n.cluster.Env, entry.RegisterName(), "postgresql.auto.conf")
		if err == nil && string(auto) != "work_mem = '7MB'\n" {
			err = fmt.Errorf("%s has settings %q", name, auto)
		}
		return true, err
	case branch.Deleted:
		for i := range n.has {
			if len(n.has[i]) != 1 {
				return false, fmt.Errorf("%s is not there, and node %d has %v", name, i+1, n.has[i])
			}
		}
		return false, nil
	}
	return false, fmt.Errorf("%s is %s", name, entry.State)
}

var request = ctl.BranchRequest{Name: "dev", From: branch.Main}

func TestCreateAndDelete(t *testing.T) {
	n := newNodes(t)
	m := n.branches(t)
	main := n.found(t)
	b, err := m.create(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if b.Parent != main.Name || b.Ancestor != main.Timeline || b.Start != n.lsn || b.SystemID != 7 || b.Settings["max_connections"] != "77" || b.Created.IsZero() {
		t.Errorf("made %+v", b)
	}
	if there, err := n.whole(t.Context(), "dev"); !there || err != nil {
		t.Fatalf("there: %v, %v", there, err)
	}
	if _, err := m.create(t.Context(), request); !errors.Is(err, branch.ErrExists) || !strings.Contains(err.Error(), "made from main at 0/5000") {
		t.Errorf("twice: %v", err)
	}
	if _, err := m.create(t.Context(), ctl.BranchRequest{Name: "nested", From: "dev"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.remove(t.Context(), "dev"); err == nil || !strings.Contains(err.Error(), "delete nested first") {
		t.Errorf("delete of a parent: %v", err)
	}
	for _, name := range []string{"nested", "dev"} {
		if r, err := m.remove(t.Context(), name); err != nil || r.Left != "" {
			t.Fatalf("delete %s: %+v, %v", name, r, err)
		}
	}
	if there, err := n.whole(t.Context(), "dev"); there || err != nil {
		t.Fatalf("there: %v, %v", there, err)
	}
	again, err := m.create(t.Context(), request)
	if err != nil || again.Timeline == b.Timeline || again.RegisterName() == b.RegisterName() {
		t.Errorf("the name anew: %+v, %v", again, err)
	}
}

func TestRefusedBranches(t *testing.T) {
	n := newNodes(t)
	m := n.branches(t)
	main := n.found(t)
	if _, err := m.create(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		r    ctl.BranchRequest
		err  string
	}{
		{"malformed", ctl.BranchRequest{Name: "My Branch", From: "main"}, "how about my-branch?"},
		{"unknown parent", ctl.BranchRequest{Name: "x", From: "mian"}, "did you mean main?"},
		{"beyond the end", ctl.BranchRequest{Name: "x", From: "main", At: moment.Moment{LSN: 0x5001}}, "beyond the end of branch main, which is at 0/5000"},
		{"before its parent began", ctl.BranchRequest{Name: "x", From: "main", At: moment.Moment{LSN: 0x1fff}}, "before branch main began, at 0/2000"},
		{"before a child began", ctl.BranchRequest{Name: "x", From: "dev", At: moment.Moment{LSN: 0x4000}}, "ask its parent, main"},
		{"a time before", ctl.BranchRequest{Name: "x", From: "main", At: moment.Moment{Time: main.Created.Add(-time.Second)}}, "before branch main began"},
		{"a time ahead", ctl.BranchRequest{Name: "x", From: "main", At: moment.Moment{Time: time.Now().Add(time.Hour)}}, "is ahead"},
	}
	for _, test := range tests {
		if _, err := m.create(t.Context(), test.r); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, want %q", test.name, err, test.err)
		}
	}
	if _, err := m.remove(t.Context(), branch.Main); err == nil {
		t.Error("main could be deleted")
	}
	if _, err := m.remove(t.Context(), "def"); !errors.Is(err, branch.ErrMissing) || !strings.Contains(err.Error(), "did you mean dev?") {
		t.Errorf("delete of a branch that is not there: %v", err)
	}
	inUse := errors.New("endpoint dev runs")
	m.unused = func(context.Context, branch.Branch, func() error) error { return inUse }
	if _, err := m.remove(t.Context(), "dev"); !errors.Is(err, inUse) {
		t.Errorf("delete of a branch in use: %v", err)
	}
	if there, err := n.whole(t.Context(), "dev"); !there || err != nil {
		t.Errorf("there: %v, %v", there, err)
	}
}

func TestTimes(t *testing.T) {
	n := newNodes(t)
	m := n.branches(t)
	main := n.found(t)
	for kind, want := range map[string]core.LSN{"present": 0x4000, "future": 0x4000, "past": main.Start, "nodata": main.Start} {
		n.mu.Lock()
		n.kind, n.lsn = kind, 0x4000
		n.mu.Unlock()
		got, err := m.resolve(t.Context(), main, moment.Moment{Time: time.Now().Add(-time.Minute)})
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", kind, got, err, want)
		}
	}
}

// TestKilledAtEveryStep kills the process at every step of making a branch,
// before and after it: the next process finds a whole branch or none, and the
// same command then makes it or says that it is there.
func TestKilledAtEveryStep(t *testing.T) {
	killedAtEveryStep(t, func(m *branches, ctx context.Context) error {
		_, err := m.create(ctx, request)
		return err
	}, func(m *branches, ctx context.Context, there bool) error {
		_, err := m.create(ctx, request)
		if there && errors.Is(err, branch.ErrExists) {
			return nil
		}
		return err
	})
}

// TestDeletionKilledAtEveryStep does the same to a deletion.
func TestDeletionKilledAtEveryStep(t *testing.T) {
	killedAtEveryStep(t, func(m *branches, ctx context.Context) error {
		r, err := m.remove(ctx, request.Name)
		if r.Left != "" {
			return errors.New(r.Left)
		}
		return err
	}, func(m *branches, ctx context.Context, there bool) error {
		_, err := m.remove(ctx, request.Name)
		if !there && errors.Is(err, branch.ErrMissing) {
			return nil
		}
		return err
	})
}

func killedAtEveryStep(t *testing.T, work func(*branches, context.Context) error, again func(*branches, context.Context, bool) error) {
	deletion := strings.Contains(t.Name(), "Deletion")
	outcomes := map[bool]int{}
	for _, after := range []bool{false, true} {
		for at, done := 1, false; !done; at++ {
			n := newNodes(t)
			n.found(t)
			if deletion {
				if _, err := n.branches(t).create(t.Context(), request); err != nil {
					t.Fatal(err)
				}
			}
			*n.fuse = fuse{at: at, after: after}
			err := work(n.branches(t), t.Context())
			done = n.fuse.steps < at
			if done != (err == nil) && !n.fuse.blown {
				t.Fatalf("step %d: %v", at, err)
			}
			*n.fuse = fuse{}
			m := n.branches(t)
			if err := m.noteUnfinished(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, name := range m.remains() {
				m.sweepOne(t.Context(), name)
			}
			if left := m.remains(); len(left) > 0 {
				t.Fatalf("step %d, after it: %v: %v is left: %v", at, after, left, m.left)
			}
			there, err := n.whole(t.Context(), request.Name)
			if err != nil {
				t.Fatalf("step %d, after it: %v: %v", at, after, err)
			}
			outcomes[there]++
			if err := again(m, t.Context(), there); err != nil {
				t.Fatalf("step %d, after it: %v: again: %v", at, after, err)
			}
			if there, err := n.whole(t.Context(), request.Name); there == deletion || err != nil {
				t.Fatalf("step %d, after it: %v: in the end there: %v, %v", at, after, there, err)
			}
		}
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("whole %d times, gone %d times: the steps do not cover the work", outcomes[true], outcomes[false])
	}
}

// TestNodeAway deletes a branch while a safekeeper is away, and takes the name
// anew once it is back.
func TestNodeAway(t *testing.T) {
	n := newNodes(t)
	m := n.branches(t)
	n.found(t)
	if _, err := m.create(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	n.away[1] = true
	r, err := m.remove(t.Context(), "dev")
	if err != nil || !strings.Contains(r.Left, "safekeeper 2") {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := branch.Load(t.Context(), n.cluster.Env, "dev"); !errors.Is(err, branch.ErrMissing) {
		t.Errorf("a deleted branch: %v", err)
	}
	if _, err := m.create(t.Context(), request); err == nil || !strings.Contains(err.Error(), "not wholly deleted yet") {
		t.Errorf("the name too early: %v", err)
	}
	n.mu.Lock()
	n.away[1] = false
	n.mu.Unlock()
	m.sweepOne(t.Context(), "dev")
	if there, err := n.whole(t.Context(), "dev"); there || err != nil || len(m.remains()) > 0 {
		t.Errorf("there: %v, %v, left %v", there, err, m.left)
	}
	if _, err := m.create(t.Context(), request); err != nil {
		t.Error(err)
	}
}

// TestNodeAwayMeanwhile makes a branch while a safekeeper is away, which gets
// its part once it is back.
func TestNodeAwayMeanwhile(t *testing.T) {
	n := newNodes(t)
	m := n.branches(t)
	n.found(t)
	n.away[1] = true
	b, err := m.create(t.Context(), request)
	if err != nil || !slices.Equal(b.Missing, []core.NodeID{2}) || n.has[1][b.Timeline.String()] {
		t.Fatalf("%+v, %v", b, err)
	}
	if nested, err := m.create(t.Context(), ctl.BranchRequest{Name: "nested", From: "dev"}); err != nil || len(nested.Missing) != 1 {
		t.Errorf("nested: %+v, %v", nested, err)
	}
	if notes := m.notes(); len(notes) != 2 || !strings.Contains(notes[0], "safekeepers [2] were away") {
		t.Errorf("notes %q", notes)
	}
	n.away[1] = false
	later := n.branches(t) // of the next run
	if err := later.noteUnfinished(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range later.remains() {
		later.sweepOne(t.Context(), name)
	}
	entry, err := branch.Find(t.Context(), n.cluster.Env, "dev")
	if err != nil || len(entry.Missing) > 0 || entry.State != branch.Live || !n.has[1][b.Timeline.String()] || len(later.notes()) > 0 {
		t.Errorf("%+v, %v, notes %q", entry, err, later.notes())
	}
	n.away[0], n.away[1] = true, true
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := m.create(ctx, ctl.BranchRequest{Name: "x", From: "main"}); err == nil || !strings.Contains(err.Error(), "safekeeper 1") {
		t.Errorf("without a majority: %v", err)
	}
}

func TestAncestorsFirst(t *testing.T) {
	id := func(n byte) core.TimelineID { return core.TimelineID{n} }
	all := []branch.Branch{
		{Name: "a", Timeline: id(1), Ancestor: id(2)},
		{Name: "b", Timeline: id(2), Ancestor: id(3)},
		{Name: "c", Timeline: id(3)},
		{Name: "d", Timeline: id(4), Ancestor: id(3)},
	}
	var names []string
	for _, b := range ancestorsFirst(all) {
		names = append(names, b.Name)
	}
	if want := []string{"c", "b", "d", "a"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}
