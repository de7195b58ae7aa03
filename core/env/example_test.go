package env_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/netsim"
	"xenon/realio"
)

// count is a program: it adds one to a number that it keeps in a file, so that
// it survives a crash at any moment. Everything outside it comes from the Env.
func count(ctx context.Context, e env.Env) (n int, err error) {
	files := e.FS()
	if f, err := files.Open("n", 0); err == nil {
		var b [20]byte
		k, _ := f.ReadAt(b[:], 0)
		fmt.Sscan(string(b[:k]), &n)
		f.Close()
	}
	n++
	f, err := files.Open("n.new", env.Write|env.Create|env.Trunc)
	if err != nil {
		return n, err
	}
	defer f.Close()
	_, err = f.WriteAt(fmt.Append(nil, n), 0)
	return n, errors.Join(err, f.Sync(env.SyncFull), files.Rename("n.new", "n"), files.SyncDir("."), e.Clock().Sleep(ctx, time.Millisecond))
}

// One program runs in both worlds: in the simulated one, where power fails as
// often as one likes, and on a real disk.
func Example() {
	w := netsim.New(netsim.Options{Seed: 1})
	p := w.Proc("counter", netsim.ProcOptions{Disk: diskdrv.DiskIn(w, "counter", 0, diskdrv.Faults{})})
	for range 3 {
		err := p.Do(time.Minute, func(ctx context.Context, e env.Env) error {
			n, err := count(ctx, e)
			fmt.Println("simulated:", n, err)
			return err
		})
		if err != nil {
			fmt.Println(err)
		}
		p.PowerCut()
	}

	dir, err := os.MkdirTemp("", "counter")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	real := realio.New(realio.Options{Root: dir})
	defer real.Close()
	n, err := count(real.Context(), real)
	fmt.Println("real:", n, err)
	// Output:
	// simulated: 1 <nil>
	// simulated: 2 <nil>
	// simulated: 3 <nil>
	// real: 1 <nil>
}
