package compute_test

import (
	"context"
	"errors"
	"testing"

	"xenon/compute"
	"xenon/realio"
)

// world is a production environment with a store of its own.
func world(t *testing.T) *realio.Env {
	t.Helper()
	dir := t.TempDir()
	objects, err := realio.DirStore(dir + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	e := realio.New(realio.Options{Root: dir, Objects: objects})
	t.Cleanup(func() { e.Close() })
	return e
}

func TestClaim(t *testing.T) {
	ctx, e := context.Background(), world(t)
	a, err := compute.Take(ctx, e, "main", "a", false)
	if err != nil || a.Epoch != 1 {
		t.Fatalf("first: %+v, %v", a, err)
	}
	again, err := compute.Take(ctx, e, "main", "a", false)
	if err != nil || again.Epoch != 2 {
		t.Fatalf("by its owner again: %+v, %v", again, err)
	}
	if err := a.Check(ctx, e, "main"); !errors.Is(err, compute.ErrNotOwner) {
		t.Errorf("an older epoch checks as %v", err)
	}
	if _, err := compute.Take(ctx, e, "main", "b", false); !errors.Is(err, compute.ErrNotOwner) {
		t.Errorf("by another without takeover: %v", err)
	}
	b, err := compute.Take(ctx, e, "main", "b", true)
	if err != nil || b.Epoch != 3 {
		t.Fatalf("takeover: %+v, %v", b, err)
	}
	if err := again.Release(ctx, e, "main"); err != nil {
		t.Errorf("release of what was lost: %v", err)
	}
	if err := b.Check(ctx, e, "main"); err != nil {
		t.Errorf("the new owner checks as %v", err)
	}
	if err := b.Release(ctx, e, "main"); err != nil {
		t.Fatal(err)
	}
	if c, err := compute.Take(ctx, e, "main", "c", false); err != nil || c.Epoch != 4 {
		t.Errorf("after a release: %+v, %v", c, err)
	}
}
