package fuzz

import (
	"slices"
	"time"

	"xenon/diskdrv"
)

// objects does what befalls the object store.
func (n *nemesis) objects(s Step) func() bool {
	n.befellBucket()
	struck := n.c.bucket.Struck()
	effect := func() bool { return n.c.bucket.Struck() > struck }
	f := diskdrv.BucketFaults{Latency: quickBucket}
	switch s.Class {
	case BucketDown:
		n.c.bucket.SetOutage(true)
		n.after(s.For, func() { n.c.bucket.SetOutage(false) })
		return effect
	case BucketSlow:
		asked := n.c.bucket.Usage()
		f.Latency = diskdrv.Delay{Base: 50 * time.Millisecond, Jitter: 500 * time.Millisecond, Stalls: 50, Stall: 3 * time.Second}
		effect = func() bool { return n.c.bucket.Usage() != asked }
	case BucketForbidden:
		f.Owner, f.Forbidden = n.c.ps().Name(), 1000
	case IndexUnknown:
		f.Keys, f.LostRequest, f.LostResponse, f.Late, f.Twice = "index-", 100, 400, 200, 100
		if s.Which%8 == 0 {
			f.Keys = "gen/"
		}
		f.Timeout, f.MaxLate = 200*time.Millisecond, 5*time.Second
		s.For += 2 * time.Second // they are seldom
	case BucketErrors:
		f.SlowDown, f.Unavailable, f.CutBody, f.Conflict = 100, 100, 100, 300
	case BucketUnknown:
		f.LostRequest, f.LostResponse, f.Late, f.Twice = 100, 150, 100, 100
		f.Timeout, f.MaxLate = 200*time.Millisecond, 3*time.Second
	}
	n.spoils = append(n.spoils, &f)
	n.spoil()
	n.after(s.For+time.Second, func() {
		n.spoils = slices.DeleteFunc(n.spoils, func(x *diskdrv.BucketFaults) bool { return x == &f })
		n.spoil()
	})
	return effect
}

// spoil makes the object store as bad as the last fault of it that is not over.
func (n *nemesis) spoil() {
	f := diskdrv.BucketFaults{Latency: quickBucket}
	if k := len(n.spoils); k > 0 {
		f = *n.spoils[k-1]
	}
	n.c.bucket.SetFaults(f)
}
