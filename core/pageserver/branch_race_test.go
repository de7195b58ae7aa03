package pageserver_test

import (
	"context"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
)

// A barred store lets a Put under one prefix through only once it is told to,
// and says when one has come.
type barred struct {
	env.ObjectStore
	prefix     string
	came, open chan struct{}
}

func (s *barred) Put(ctx context.Context, key string, b env.Body, o env.PutOpts) (env.ObjectMeta, error) {
	if strings.HasPrefix(key, s.prefix) {
		s.came <- struct{}{}
		<-s.open
	}
	return s.ObjectStore.Put(ctx, key, b, o)
}

// TestBranchWhileParentGoes: a pageserver has entered a branch in the index of
// its parent and is about to make it, when another one takes the parent over
// and deletes it. No branch comes of what is deleted.
func TestBranchWhileParentGoes(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 100)
	k := newKeeper(t, s, s.last())
	parent, child := timelineID(8), timelineID(9)
	store := &barred{ObjectStore: w.store, prefix: layer.TimelinePrefix(child, core.Unsharded) + "index-", came: make(chan struct{}, 8), open: make(chan struct{})}
	old := runOver(t, t.TempDir(), store)
	old.attach(k)
	old.reaches(s.last())
	at := s.lsns[len(s.lsns)/2]
	if err := old.branch(testTimeline, parent, at, k.addr); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() { made <- old.branch(parent, child, at, k.addr) }()
	<-store.came

	now := w.run(t, t.TempDir())
	now.attach(k)
	now.reaches(s.last())
	now.eventually("the other one serves the parent", func() error { return now.branch(testTimeline, parent, at, k.addr) })
	if err := now.remove(parent); err != nil {
		t.Fatalf("delete the parent: %v", err)
	}
	close(store.open)
	if err := <-made; statusOf(err) != 409 && statusOf(err) != 410 {
		t.Errorf("a branch of what was deleted: %v", err)
	}
	for _, id := range []core.TTID{parent, child} {
		x, err := remote.Peek(context.Background(), w.env, id)
		if err != nil || !x.Deleted {
			t.Errorf("timeline %s is not deleted (%v)", id, err)
		}
	}
}
