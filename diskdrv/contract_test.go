package diskdrv_test

import (
	"math/rand/v2"
	"testing"

	"xenon/core/env"
	"xenon/core/env/envtest"
	"xenon/diskdrv"
	"xenon/realio"
)

// seeds is how often each case is run: what a crash leaves is decided by
// chance.
const seeds = 100

// onDisk is a production process whose disk is simulated: real goroutines, and
// crashes.
type onDisk struct {
	env.Env
	fs env.FS
}

func (e onDisk) FS() env.FS { return e.fs }

// lives makes the Envs of a case's lives over one disk, with a power cut
// between them.
func lives(t *testing.T, d *diskdrv.Disk, wrap func(env.FS) env.FS) func(life int) env.Env {
	return func(life int) env.Env {
		if life > 0 {
			d.CutPower()
		}
		e := realio.New(realio.Options{})
		t.Cleanup(func() { e.Close() })
		return onDisk{e, wrap(d.FS(e))}
	}
}

func asIs(f env.FS) env.FS { return f }

func newDisk(seed uint64, mode diskdrv.CrashMode) *diskdrv.Disk {
	return diskdrv.NewDisk(diskdrv.DiskOptions{
		Rand:   rand.New(rand.NewPCG(seed, 1)),
		Faults: diskdrv.Faults{Crash: mode},
	})
}

func TestDiskContract(t *testing.T) {
	for name, mode := range map[string]diskdrv.CrashMode{"harsh": diskdrv.CrashHarsh, "journalled": diskdrv.CrashJournalled} {
		t.Run(name, func(t *testing.T) {
			envtest.FS(t, func(t *testing.T, c envtest.Case) {
				for seed := range uint64(seeds) {
					if err := envtest.Fails(c, lives(t, newDisk(seed, mode), asIs)); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					if len(c.Lives) == 1 {
						break
					}
				}
			})
		})
	}
}

// withObjects is a production process with an object store of its own.
type withObjects struct {
	env.Env
	objects env.ObjectStore
}

func (e withObjects) Objects() env.ObjectStore { return e.objects }

func TestBucketContract(t *testing.T) {
	for _, pageSize := range []int{0, 2} {
		envtest.Objects(t, func(t *testing.T, c envtest.Case) {
			b := diskdrv.NewBucket(diskdrv.BucketOptions{
				Rand:   rand.New(rand.NewPCG(1, 1)),
				Faults: diskdrv.BucketFaults{PageSize: pageSize},
			})
			if err := envtest.Fails(c, func(life int) env.Env {
				e := realio.New(realio.Options{})
				t.Cleanup(func() { e.Close() })
				return withObjects{e, b.Objects(e, "test")}
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestObjectDirSurvivesPowerCuts holds the object store in a directory to its
// contract on a disk that crashes.
func TestObjectDirSurvivesPowerCuts(t *testing.T) {
	envtest.Objects(t, func(t *testing.T, c envtest.Case) {
		for seed := range uint64(seeds) {
			open := lives(t, newDisk(seed, diskdrv.CrashHarsh), asIs)
			err := envtest.Fails(c, func(life int) env.Env {
				e := open(life)
				store, err := realio.DirStoreOn(e, ".")
				if err != nil {
					t.Fatal(err)
				}
				return withObjects{e, store}
			})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if len(c.Lives) == 1 {
				break
			}
		}
	})
}
