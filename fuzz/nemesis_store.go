package fuzz

import (
	"slices"
	"strings"
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
	case SlowDownStorm:
		f.SlowDown = 800
	case ConflictStorm:
		f.Busy = 700
		effect = grows(func() int { return n.c.bucket.Tally().Conflicts })
	case SlowLists:
		f.PageSize, f.Latency.Jitter = 1, 60*time.Millisecond
		effect = grows(func() int { return n.c.bucket.Usage().Lists })
	case CutBodies:
		f.CutBody = 400
		effect = grows(func() int { return n.c.bucket.Tally().Cut })
	case StalledBodies:
		f.StallBody, f.Stall = 400, time.Second
		effect = grows(func() int { return n.c.bucket.Tally().Stalled })
	case WrongRanges:
		f.WrongRange = 1000
		effect = grows(func() int { return n.c.bucket.Tally().Wrong })
	case DamagedBodies:
		f.Damaged = 300
		effect = grows(func() int { return n.c.bucket.Tally().Damaged })
	case DoneTwice:
		f.Twice = 500
		effect = grows(func() int { return n.c.bucket.Tally().Twice })
	case DoneLate:
		f.Late, f.Timeout, f.MaxLate = 400, 100*time.Millisecond, 8*time.Second
		effect = grows(func() int { return n.c.bucket.Tally().Late })
	case LostAnswers:
		f.LostResponse, f.Timeout = 400, 300*time.Millisecond
		effect = grows(func() int { return n.c.bucket.Tally().Unheard })
	case CutFromBucket:
		f.Owner, f.Unavailable = victim(s.Which, append(append([]*node{}, n.c.pss...), n.c.sks...)).Name(), 1000
		if s.Which&1 == 0 {
			f.Owner = n.c.ps().Name()
		}
	case RegistersUnknown:
		f.Keys, f.LostRequest, f.LostResponse, f.Late = "endpoints/", 200, 300, 200
		f.Timeout, f.MaxLate = 200*time.Millisecond, 3*time.Second
		n.reclaimEndpoint(s)
	case RegistersForbidden:
		f.Keys, f.Forbidden = "endpoints/", 1000
		n.reclaimEndpoint(s)
	case ObjectLost, ObjectDamaged:
		return n.tamper(s)
	case BucketErrors:
		f.SlowDown, f.Unavailable, f.CutBody, f.Conflict = 100, 100, 100, 300
	case BucketUnknown:
		f.LostRequest, f.LostResponse, f.Late, f.Twice = 100, 150, 100, 100
		f.Timeout, f.MaxLate = 200*time.Millisecond, 3*time.Second
	}
	switch s.Class {
	case CutBodies, StalledBodies, WrongRanges, DamagedBodies:
		n.need(s)
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

// reclaimEndpoint has a compute start anew, which asks the register.
func (n *nemesis) reclaimEndpoint(s Step) { n.end(n.server(s), false, 20*time.Millisecond) }

// need makes a pageserver need what is in the object store, in some cases.
func (n *nemesis) need(s Step) {
	if s.Which&3 == 0 {
		n.end(n.c.ps(), false, 20*time.Millisecond)
		n.empty(n.c.ps())
		n.c.tell()
	}
}

// tamper has somebody delete or damage a layer in the object store, and put it
// back later. Until then whoever needs it must wait and say why: it may not
// answer anything else. A register is never touched: what it says is all that
// there is of it.
func (n *nemesis) tamper(s Step) func() bool {
	b := n.c.bucket
	layers := slices.DeleteFunc(b.Keys(), func(k string) bool { return !strings.Contains(k, "/layers/") || n.tampered[k] })
	if len(layers) == 0 {
		return nil // they are all lost or damaged
	}
	key := layers[s.Which%len(layers)]
	data, _ := b.Peek(key)
	if len(data) == 0 {
		return nil
	}
	if s.Class == ObjectLost {
		b.Lose(key)
	} else if b.Corrupt(key, int64(s.Which*131%len(data)), 1<<(s.Which%8)) != nil {
		return nil
	}
	n.tampered[key] = true
	back := func() {
		b.Mend(key, data)
		delete(n.tampered, key)
	}
	n.mends = append(n.mends, &back)
	n.after(s.For+500*time.Millisecond, func() { n.mend(&back) })
	n.need(s)
	return grows(func() int { return b.Tally().Missed })
}
