package realio_test

import (
	"testing"

	"xenon/core/env"
	"xenon/core/env/envtest"
	"xenon/realio"
)

func TestDirectoryContract(t *testing.T) {
	envtest.FS(t, func(t *testing.T, c envtest.Case) {
		dir := t.TempDir()
		var e *realio.Env
		err := envtest.Fails(c, func(int) env.Env {
			if e != nil {
				e.Close()
			}
			e = realio.New(realio.Options{Root: dir})
			return e
		})
		e.Close()
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestObjectDirContract(t *testing.T) {
	envtest.Objects(t, func(t *testing.T, c envtest.Case) {
		dir := t.TempDir()
		if err := envtest.Fails(c, func(int) env.Env {
			store, err := realio.DirStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			e := realio.New(realio.Options{Objects: store})
			t.Cleanup(func() { e.Close(); store.Close() })
			return e
		}); err != nil {
			t.Fatal(err)
		}
	})
}
