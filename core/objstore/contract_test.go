package objstore_test

import (
	"math/rand/v2"
	"testing"

	"xenon/core/env"
	"xenon/core/env/envtest"
	"xenon/core/objstore"
	"xenon/diskdrv"
	"xenon/realio"
)

// TestContract holds the patient store to the contract of every object store:
// what is not a passing failure, such as a key that is taken or not there, is
// the caller's to hear of, at once and as it is.
func TestContract(t *testing.T) {
	envtest.Objects(t, func(t *testing.T, c envtest.Case) {
		if c.AnyKey {
			return // see TestKeys
		}
		b := diskdrv.NewBucket(diskdrv.BucketOptions{Rand: rand.New(rand.NewPCG(1, 1))})
		if err := envtest.Fails(c, func(life int) env.Env {
			e := realio.New(realio.Options{})
			t.Cleanup(func() { e.Close() })
			return objstore.Over(e, objstore.New(e, b.Objects(e, "test"), objstore.Options{}))
		}); err != nil {
			t.Fatal(err)
		}
	})
}
