package diskdrv_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/netsim"
)

// A program that forgets to sync loses what it has written when the power fails,
// in some runs: chance decides about each write that no sync made durable. So
// many seeds find what one run may not.
func Example() {
	lost := 0
	for seed := range uint64(20) {
		w := netsim.New(netsim.Options{Seed: seed})
		disk := diskdrv.DiskIn(w, "db", 0, diskdrv.Faults{})
		p := w.Proc("db", netsim.ProcOptions{Disk: disk})
		if err := p.Do(time.Second, save); err != nil {
			fmt.Println(err)
		}
		p.Start(func(ctx context.Context, e env.Env) error { return e.Clock().Sleep(ctx, time.Hour) })
		p.PowerCut()
		var b [5]byte
		if n, err := disk.ReadDurable("data", b[:], 0); err != nil || string(b[:n]) != "hello" {
			lost++
		}
	}
	fmt.Println("lost in some of 20 runs:", lost > 0 && lost < 20)
	// Output: lost in some of 20 runs: true
}

// save writes a file, and makes its name durable but not its bytes.
func save(_ context.Context, e env.Env) error {
	f, err := e.FS().Open("data", env.Write|env.Create)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("hello"), 0); err != nil {
		return err
	}
	return e.FS().SyncDir(".")
}

// The log of a disk is what a test of crash safety compares: a forgotten sync is
// a line that is missing.
func ExampleDisk_StartLog() {
	d := diskdrv.NewDisk(diskdrv.DiskOptions{Rand: rand.New(rand.NewPCG(1, 2))})
	d.StartLog()
	files := d.FS(nil)
	f, _ := files.Open("new", env.Write|env.Create)
	f.WriteAt([]byte("state"), 0)
	f.Sync(env.SyncFull)
	files.Rename("new", "state")
	files.SyncDir(".")
	fmt.Print(d.LogText())
	// Output:
	// create new
	// write new 0+5
	// sync new
	// rename new state
	// sync-dir .
}

// A bucket has the rules of S3, conditions among them: of two who create one
// object, one is told that it is there.
func ExampleBucket() {
	w := netsim.New(netsim.Options{Seed: 1})
	bucket := diskdrv.BucketIn(w, "bucket", diskdrv.BucketFaults{})
	for _, name := range []string{"a", "b"} {
		p := w.Proc(name, netsim.ProcOptions{Objects: func(e env.Env) env.ObjectStore { return bucket.Objects(e, name) }})
		err := p.Do(time.Second, func(ctx context.Context, e env.Env) error {
			_, err := e.Objects().Put(ctx, "lock", env.Bytes([]byte(name)), env.PutOpts{IfNoneMatch: true})
			return err
		})
		fmt.Println(name, "wins:", err == nil)
	}
	owner, _ := bucket.Peek("lock")
	fmt.Println("it is", strings.TrimSpace(string(owner)))
	// Output:
	// a wins: true
	// b wins: false
	// it is a
}
