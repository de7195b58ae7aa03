package diskdrv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"xenon/core"
	"xenon/core/env"
)

// BucketOptions say what a bucket is made of.
type BucketOptions struct {
	// Rand decides everything about this bucket and nothing else draws from it.
	Rand   *rand.Rand
	Faults BucketFaults
	// After runs f once d has passed, whatever becomes of the process that
	// asked; f does not park. Nil makes requests take no time: late ones then
	// wait for RunLate.
	After func(d time.Duration, f func())
	// Now stamps objects; nil stamps them with the zero time.
	Now func() time.Time
	// Note is told of every request that took effect, with the object's bytes.
	// It must not call the bucket.
	Note func(o ObjectOp, data []byte)
}

// BucketFaults are what goes wrong by itself. The zero BucketFaults is a
// bucket that never fails and answers at once.
type BucketFaults struct {
	// Owner and Keys choose whom it befalls: requests of that owner, and those
	// whose key has Keys somewhere. Empty is everybody. Latency is for all.
	Owner, Keys string

	SlowDown     PerMille // refused with ErrSlowDown, nothing done
	Unavailable  PerMille // refused with ErrUnavailable, nothing done
	Forbidden    PerMille // refused with ErrForbidden, nothing done: credentials have expired
	Busy         PerMille // a conditional Put is refused with ErrConflict, as if another one were in flight
	Conflict     PerMille // a conditional Put is refused while another one of its key is in flight
	LostRequest  PerMille // never arrives; the caller learns ErrUnknown
	LostResponse PerMille // takes effect; the caller learns ErrUnknown
	Late         PerMille // the caller learns ErrUnknown, and it takes effect up to MaxLate afterwards
	Twice        PerMille // takes effect twice, the caller learns what the second one came to
	CutBody      PerMille // the body of a Get ends early with io.ErrUnexpectedEOF
	StallBody    PerMille // the body of a Get takes Stall before it goes on
	WrongRange   PerMille // the body of a Get of a part is that of another part
	Damaged      PerMille // one bit of the body of a Get is wrong

	Stall time.Duration

	Latency Delay         // of the way there, and again of the way back
	Timeout time.Duration // after which a caller gives up on an answer
	MaxLate time.Duration
	// PageSize makes pages of listings shorter; 0 is as many as asked for.
	PageSize int
}

// An ObjectOp is one request at the moment it took effect.
type ObjectOp struct {
	Owner  string // who asked: the name given to Objects
	Kind   string // put, get, head, list, delete
	Key    string // for a list the prefix
	Size   int64
	Before env.ETag // empty: there was no object
	After  env.ETag
	Err    error // what it came to; the caller may learn otherwise
	// Unheard tells that the caller never learns of it: it gets ErrUnknown.
	Unheard bool
}

// Usage counts the requests that took effect, and the bytes of bodies.
type Usage struct {
	Puts, Gets, Heads, Lists, Deletes int
	BytesIn, BytesOut                 int64
}

// A Bucket is an object store with the rules of S3, shared by all processes of
// a world. An ETag is a hash of the content alone, as S3's is: the same bytes
// put twice have the same one.
type Bucket struct {
	opts BucketOptions

	mu       sync.Mutex // leaf
	faults   BucketFaults
	rand     *rand.Rand
	objects  map[string]*stored
	keys     []string // of objects, in byte order
	outage   bool
	inFlight map[string]int // conditional Puts by key
	struck   int            // requests that some fault befell
	tally    BucketTally
	lost     map[string]bool // keys that were lost or damaged behind everybody's back
	unheard  bool            // the request that takes effect now goes without an answer
	watch    func(o ObjectOp, data []byte)
	late     []func() // waiting for RunLate
	usage    Usage
	logging  bool
	log      []ObjectOp
}

// stored is one version of an object; it never changes, except by Corrupt.
type stored struct {
	data     []byte
	etag     env.ETag
	modified time.Time
}

// NewBucket makes an empty bucket.
func NewBucket(o BucketOptions) *Bucket {
	core.Must(o.Rand != nil, "a simulated bucket needs a generator")
	return &Bucket{opts: o, faults: o.Faults, rand: o.Rand, objects: make(map[string]*stored), inFlight: make(map[string]int), lost: make(map[string]bool)}
}

// SetFaults changes what goes wrong from now on.
func (b *Bucket) SetFaults(f BucketFaults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = f
}

// Struck is how many requests some fault has befallen so far, late and lost
// answers among them; slow ones are not counted.
func (b *Bucket) Struck() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.struck
}

// BucketTally counts what faults have done to requests, by fault.
type BucketTally struct {
	Refused   int // SlowDown, Unavailable, Forbidden, outages
	Conflicts int
	Unheard   int // whose answer or which themselves were lost
	Late      int
	Twice     int
	Cut       int // bodies that ended early
	Stalled   int // bodies that took long
	Wrong     int // bodies of another part
	Damaged   int // bodies with a wrong bit
	Missed    int // requests for objects that were lost or damaged behind everybody's back
}

// Tally is what faults have done so far.
func (b *Bucket) Tally() BucketTally {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tally
}

// Watch has f told of every request that takes effect, with the bytes of a Put
// or Get, and of each that never arrives: its Kind is lost. f must not call the
// bucket.
func (b *Bucket) Watch(f func(o ObjectOp, data []byte)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watch = f
}

// SetOutage makes the bucket answer nobody, or lets it answer again. Requests
// on their way when it begins may have taken effect.
func (b *Bucket) SetOutage(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outage = on
}

// Corrupt changes a byte of an object, by exclusive or with mask. Its ETag
// stays.
func (b *Bucket) Corrupt(key string, off int64, mask byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.objects[key]
	if s == nil || off < 0 || off >= int64(len(s.data)) {
		return fmt.Errorf("corrupt %q at %d: %w", key, off, env.ErrNotFound)
	}
	rotten := *s
	rotten.data = slices.Clone(s.data)
	rotten.data[off] ^= mask
	b.objects[key] = &rotten
	b.lost[key] = true
	return nil
}

// Lose removes an object behind everybody's back, as an operator or
// a lifecycle rule might.
func (b *Bucket) Lose(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(key)
	b.lost[key] = true
}

// Mend undoes Lose or Corrupt: the object is again what Peek gave before. One
// that was deleted or put anew since stays as it is.
func (b *Bucket) Mend(key string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost[key] {
		b.insert(key, &stored{data: data, etag: etagOf(data), modified: b.now()})
		delete(b.lost, key)
	}
}

// insert puts a version under key.
func (b *Bucket) insert(key string, s *stored) {
	if at, found := slices.BinarySearch(b.keys, key); !found {
		b.keys = slices.Insert(b.keys, at, key)
	}
	b.objects[key] = s
}

func (b *Bucket) remove(key string) {
	if at, found := slices.BinarySearch(b.keys, key); found {
		b.keys = slices.Delete(b.keys, at, at+1)
		delete(b.objects, key)
	}
}

// Peek reads an object for an oracle: no request is made.
func (b *Bucket) Peek(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.objects[key]
	if s == nil {
		return nil, false
	}
	return slices.Clone(s.data), true
}

// Keys lists all keys in byte order, for an oracle.
func (b *Bucket) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.keys)
}

// RunLate lets requests that are late take effect, in the order they were
// made, where the bucket was given no After.
func (b *Bucket) RunLate() {
	b.mu.Lock()
	late := b.late
	b.late = nil
	b.mu.Unlock()
	for _, f := range late {
		f()
	}
}

// Usage is what has been asked for so far.
func (b *Bucket) Usage() Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.usage
}

// StartLog begins a new log of requests.
func (b *Bucket) StartLog() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logging, b.log = true, nil
}

// Log is the requests that took effect since StartLog, in order.
func (b *Bucket) Log() []ObjectOp {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

// did notes a request that took effect.
func (b *Bucket) did(o ObjectOp, data []byte) {
	switch o.Kind {
	case "put":
		b.usage.Puts++
		b.usage.BytesIn += o.Size
	case "get":
		b.usage.Gets++
		b.usage.BytesOut += o.Size
	case "head":
		b.usage.Heads++
	case "list":
		b.usage.Lists++
	case "delete":
		b.usage.Deletes++
	}
	o.Unheard = b.unheard
	if b.logging {
		b.log = append(b.log, o)
	}
	if b.watch != nil {
		b.watch(o, data)
	}
	if b.opts.Note != nil {
		b.opts.Note(o, data)
	}
}

func etagOf(data []byte) env.ETag {
	sum := sha256.Sum256(data)
	return env.ETag(hex.EncodeToString(sum[:16]))
}

func (b *Bucket) now() time.Time {
	if b.opts.Now == nil {
		return time.Time{}
	}
	return b.opts.Now()
}
