package diskdrv

import (
	"math/rand/v2"
	"time"
)

// A World is what disks and buckets need of the simulator; a netsim.World is
// one. It is declared here because neither of the two packages needs the
// other. T is the timer that After returns.
type World[T any] interface {
	Rand(stream string) *rand.Rand
	Note(kind, name string, a, b uint64, data []byte)
	Elapsed() time.Duration
	After(d time.Duration, f func()) T
}

// DiskIn makes a disk of a simulated world: its choices come from the world's
// seed, and what happens on it is part of the world's trace. It goes into
// netsim.ProcOptions.
func DiskIn[T any](w World[T], name string, capacity uint64, f Faults) *Disk {
	return NewDisk(DiskOptions{
		Rand:     w.Rand("disk " + name),
		Capacity: capacity,
		Faults:   f,
		Note: func(o Op, data []byte) {
			w.Note(o.Kind, name+":"+o.Name+o.To+failed(o.Err), uint64(o.Off), uint64(o.Len), data)
		},
	})
}

// BucketIn makes a bucket of a simulated world; see [DiskIn].
func BucketIn[T any](w World[T], name string, f BucketFaults) *Bucket {
	return NewBucket(BucketOptions{
		Rand:   w.Rand("bucket " + name),
		Faults: f,
		After:  func(d time.Duration, f func()) { w.After(d, f) },
		Now:    func() time.Time { return epoch.Add(w.Elapsed()) },
		Note: func(o ObjectOp, data []byte) {
			w.Note(o.Kind, o.Owner+":"+o.Key+failed(o.Err), uint64(o.Size), uint64(len(o.After)), data)
		},
	})
}

// epoch is what a bucket's clock shows when its world begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// failed makes an error a part of the trace without its text.
func failed(err error) string {
	if err != nil {
		return "!"
	}
	return ""
}
