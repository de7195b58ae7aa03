package netsim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A number that a run draws is a hash of the seed, of the stream's name, and
// of where the stream is: how often it was asked before, or what the clock
// shows. So what one thing draws never depends on how often another was asked,
// and a run with one step less goes on like the run with it wherever that step
// did not reach.

// A source is a stream of a world. Its numbers come from its key and the count
// of those before; a timed one counts anew at each instant, so that two runs
// which once differed draw the same again as soon as they do the same thing at
// the same time.
type source struct {
	w     *World
	key   uint64
	kind  streamKind
	timed bool
	at    int64
	n     uint64
}

// A streamKind is what a stream is of.
type streamKind uint8

const (
	schedule  streamKind = iota // who runs next, yields, needless wakes
	links                       // latencies, splits, resets
	devices                     // disks, buckets, whatever asks World.Rand
	processes                   // what parts draw from their Env
	streamKinds
)

// StreamNames are the kinds of streams that a Fork may change.
var StreamNames = [streamKinds]string{"schedule", "links", "devices", "processes"}

// Uint64 implements rand.Source.
func (s *source) Uint64() uint64 {
	h := s.key ^ s.w.salts[s.kind]
	if s.timed {
		if s.w.now != s.at {
			s.at, s.n = s.w.now, 0
		}
		h = mix(h, uint64(s.at))
	}
	s.n++
	return finish(h + s.n*golden)
}

// golden is 2^64 divided by the golden ratio: its multiples are spread evenly.
const golden = 0x9e3779b97f4a7c15

// finish spreads what is in x over all bits (the last step of splitmix64, by
// Steele, Lea and Flood).
func finish(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Stream is a stream of random numbers of its own for every seed and name,
// before there is a world: for those who draw plans.
func Stream(seed uint64, name string) *rand.Rand {
	return rand.New(rand.NewPCG(hashString(seed, name), hashString(^seed, name)))
}

// Rand is a stream of random numbers of its own for every name, for whatever
// belongs to no process: a disk, a bucket. What it gives depends on the name, on
// the simulated time, and on how often it was asked at that time.
func (w *World) Rand(stream string) *rand.Rand { return w.stream(devices, stream) }

func (w *World) stream(kind streamKind, name string) *rand.Rand {
	return rand.New(&source{w: w, key: hashString(w.opts.Seed, name), kind: kind, timed: true})
}

// A Fork makes the rest of a run another one: what is drawn from step Step on
// comes from another seed.
type Fork struct {
	Step   uint64
	Stream string // one of StreamNames; "" is all of them
	Seed   uint64
}

func (f Fork) String() string {
	return fmt.Sprintf("step %d %s #%d", f.Step, cmp.Or(f.Stream, allStreams), f.Seed)
}

const allStreams = "all"

// MarshalText makes a fork what String says.
func (f Fork) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads "step 1200 links #77".
func (f *Fork) UnmarshalText(b []byte) error {
	var read Fork
	if n, err := fmt.Sscanf(string(b), "step %d %s #%d", &read.Step, &read.Stream, &read.Seed); n != 3 || err != nil {
		return fmt.Errorf("fork %q: want step N STREAM #SEED", b)
	}
	if read.Stream == allStreams {
		read.Stream = ""
	} else if !slices.Contains(StreamNames[:], read.Stream) {
		return fmt.Errorf("fork %q: no stream is called %q: want %s or one of %s", b, read.Stream, allStreams, strings.Join(StreamNames[:], ", "))
	}
	*f = read
	return nil
}

// fork changes the streams whose time has come.
func (w *World) fork() {
	f := w.forks[0]
	w.forks = w.forks[1:]
	for k, name := range StreamNames {
		if f.Stream == "" || f.Stream == name {
			w.salts[k] = mix(hashC, f.Seed)
		}
	}
}

// entropy is a source read by bytes.
type entropy struct {
	source source
	left   uint64
	n      int // bytes of left
}

// Read implements io.Reader.
func (e *entropy) Read(p []byte) (int, error) {
	for i := range p {
		if e.n == 0 {
			e.left, e.n = e.source.Uint64(), 8
		}
		p[i] = byte(e.left)
		e.left, e.n = e.left>>8, e.n-1
	}
	return len(p), nil
}
