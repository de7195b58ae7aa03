package branch_test

import (
	"context"
	"errors"
	"testing"

	"xenon/cmd/xenon/internal/branch"
	"xenon/realio"
)

func TestRegistry(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	objects, err := realio.DirStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := realio.New(realio.Options{Objects: objects})
	defer e.Close()

	if _, err := branch.Load(ctx, e, "main"); !errors.Is(err, branch.ErrMissing) {
		t.Fatalf("before: %v", err)
	}
	for _, name := range []string{"shop", "main"} {
		if err := branch.Create(ctx, e, branch.Branch{Name: name, SystemID: 7}); err != nil {
			t.Fatal(err)
		}
	}
	if err := branch.Create(ctx, e, branch.Branch{Name: "main"}); !errors.Is(err, branch.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if b, err := branch.Load(ctx, e, "main"); err != nil || b.SystemID != 7 {
		t.Errorf("load: %+v, %v", b, err)
	}
	all, err := branch.List(ctx, e)
	if err != nil || len(all) != 2 || all[0].Name != "main" || all[1].Name != "shop" {
		t.Errorf("list: %+v, %v", all, err)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"main": true, "a.b_c-9": true, "0": true, "": false, "Main": false, "-a": false, "a/b": false, "..": false} {
		if got := branch.CheckName(name) == nil; got != ok {
			t.Errorf("%q: valid is %v, want %v", name, got, ok)
		}
	}
}
