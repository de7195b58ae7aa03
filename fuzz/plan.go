package fuzz

import (
	"cmp"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"xenon/netsim"
)

// A Class is one kind of fault.
type Class uint8

// The classes. Each is admissible at any time: what is not durable on a
// majority by then was promised to nobody.
const (
	KillKeeper Class = iota
	CutKeeper
	KillServer
	CutServer
	KillPages
	CutPages
	PauseKeeper
	PauseServer
	PausePages
	SlowProcess
	Partition
	OneWay
	Isolate
	Reset
	HalfOpen
	SlowLinks
	SplitReads
	ResetSome
	Strand
	Takeover
	Zombie
	Duel
	AllDown
	FailSync
	IOErrors
	DiskFull
	SlowDisk
	Journalled
	ClockStep
	ClockDrift
	BucketDown
	BucketErrors
	BucketUnknown
	WipePages
	ReplacePages
	PagesIO
	PagesFull
	BucketSlow
	BucketForbidden
	IndexUnknown
	classes
)

// about says what each class is.
var about = [classes]struct{ name, text string }{
	KillKeeper:      {"kill-safekeeper", "a safekeeper is killed and started again"},
	CutKeeper:       {"power-safekeeper", "a safekeeper loses power, and writes that were not synced"},
	KillServer:      {"kill-compute", "a compute is killed and started again"},
	CutServer:       {"power-compute", "a compute loses power"},
	KillPages:       {"kill-pageserver", "the pageserver is killed and started again"},
	CutPages:        {"power-pageserver", "the pageserver loses power"},
	PauseKeeper:     {"pause-safekeeper", "a safekeeper stands still for a while"},
	PauseServer:     {"pause-compute", "a compute stands still for a while"},
	PausePages:      {"pause-pageserver", "the pageserver stands still for a while"},
	SlowProcess:     {"slow-process", "each step of a process takes long"},
	Partition:       {"partition", "two hosts do not hear each other"},
	OneWay:          {"one-way", "one host does not hear another"},
	Isolate:         {"isolate", "a host hears nobody"},
	Reset:           {"reset", "all connections of two hosts are reset"},
	HalfOpen:        {"half-open", "one end of connections is gone, the other is not told"},
	SlowLinks:       {"slow-links", "packets take long, some very long"},
	SplitReads:      {"split-reads", "reads and writes are cut at any byte"},
	ResetSome:       {"reset-some", "connections are reset behind a delivered segment"},
	Strand:          {"strand", "a compute reaches one safekeeper only, and dies: a tail is left there"},
	Takeover:        {"takeover", "another compute takes the branch over"},
	Zombie:          {"zombie", "a compute is cut off while another takes over, and comes back"},
	Duel:            {"duel", "both computes take the branch over at once"},
	AllDown:         {"all-down", "everything loses power at once"},
	FailSync:        {"failed-sync", "a sync of a safekeeper's files fails, and what it was to make durable is lost"},
	IOErrors:        {"io-errors", "reads and writes of a safekeeper's disk fail"},
	DiskFull:        {"disk-full", "a safekeeper's disk is full for a while"},
	SlowDisk:        {"slow-disk", "a disk takes long"},
	Journalled:      {"journalled", "power cuts leave a prefix of the changes of a disk"},
	ClockStep:       {"clock-step", "a wall clock jumps"},
	ClockDrift:      {"clock-drift", "a clock runs faster or slower"},
	BucketDown:      {"bucket-down", "the object store answers nobody for a while"},
	BucketErrors:    {"bucket-errors", "the object store refuses requests"},
	BucketUnknown:   {"bucket-unknown", "answers of the object store are lost, requests take effect late or twice"},
	WipePages:       {"wipe-pageserver", "the pageserver loses its disk"},
	ReplacePages:    {"replace-pageserver", "another pageserver takes over while the old one stands still, is cut off, is dead, or knows nothing"},
	PagesIO:         {"pageserver-io", "reads, writes and syncs of a pageserver's disk fail"},
	PagesFull:       {"pageserver-full", "a pageserver's disk is full for a while"},
	BucketSlow:      {"bucket-slow", "answers of the object store take long"},
	BucketForbidden: {"bucket-forbidden", "the object store does not let a pageserver in for a while"},
	IndexUnknown:    {"index-unknown", "pageservers get no answer when they write an index or mint a generation"},
}

func (c Class) String() string { return about[c].name }

// About says what a class is.
func (c Class) About() string { return about[c].text }

// Classes lists all classes.
func Classes() []Class {
	all := make([]Class, classes)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// ParseClasses reads a list of names, separated by commas.
func ParseClasses(list string) ([]Class, error) {
	var out []Class
	for name := range strings.SplitSeq(list, ",") {
		c := slices.IndexFunc(Classes(), func(c Class) bool { return c.String() == name })
		if c < 0 {
			return nil, fmt.Errorf("no class of faults is called %q; see --faults list", name)
		}
		out = append(out, Class(c))
	}
	return out, nil
}

// A Step is one fault of a plan.
type Step struct {
	At    time.Duration // since the clients began
	Class Class
	Which int           // whom it befalls, or what it is drawn from
	For   time.Duration // until it is mended
}

func (s Step) String() string {
	return fmt.Sprintf("%7.3fs %s #%d for %.3fs", s.At.Seconds(), s.Class, s.Which, s.For.Seconds())
}

// A Plan is everything about a run that was decided beforehand.
type Plan struct {
	Seed   uint64        `json:"seed"`  // of everything else: latencies, the order of tasks
	Blank  int           `json:"blank"` // which of the blank clusters
	Load   load          `json:"load"`
	Policy netsim.Policy `json:"policy"`
	Yields int           `json:"yields"`
	Wakes  int           `json:"wakes"`
	Length time.Duration `json:"length"` // of the time in which faults begin
	Steps  []Step        `json:"steps"`  // in order
	Acts   []Act         `json:"acts"`   // in order
}

// odds are of a hundred runs those that have a class, where that is not few:
// these make the situations that recovery is about.
var odds = map[Class]int{CutKeeper: 85, KillServer: 85, Strand: 100, WipePages: 50, ReplacePages: 55, IndexUnknown: 70}

const usually = 30

// few classes are all meant to strike.
const few = 4

// Dice are where the decisions of a plan come from: each thing that is decided
// has a stream of its own, by its name, so that a new class of faults, a new
// deed or another knob moves nothing else in the plans of all seeds.
type dice uint64

func (d dice) of(format string, args ...any) *rand.Rand {
	return netsim.Stream(uint64(d), "plan "+fmt.Sprintf(format, args...))
}

// pick draws one of a list.
func (d dice) pick(name string, list ...int) int { return list[d.of("%s", name).IntN(len(list))] }

// drawPlan makes the plan of a run with faults of the classes given: each is in
// or out by the throw of a coin, and how often it strikes is drawn, too.
func drawPlan(seed uint64, from []Class) *Plan {
	d := dice(seed)
	p := &Plan{Seed: seed, Blank: d.of("blank").IntN(len(blanks)), Load: drawLoad(d)}
	p.Length = 4*time.Second + millis(d.of("length"), 5*time.Second)
	p.Policy.Kind = netsim.PolicyKind(d.of("policy").IntN(int(netsim.StarveProc) + 1))
	p.Policy.Depth = 1 + d.of("depth").IntN(10)
	p.Policy.Starved = []string{"sk1", "sk2", "compute1", "ps1"}[d.of("starved").IntN(4)]
	p.Yields, p.Wakes = d.pick("yields", 0, 5, 50), d.pick("wakes", 0, 0, 5)
	for _, c := range from {
		p.Steps = append(p.Steps, drawSteps(d, c, p.Length, len(from) <= few)...)
	}
	slices.SortFunc(p.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Class.String(), b.Class.String()), cmp.Compare(a.Which, b.Which))
	})
	p.Acts = drawActs(d, p.Length)
	return p
}

// drawSteps makes the steps of one class, none if it is out.
func drawSteps(d dice, c Class, length time.Duration, sure bool) []Step {
	r := d.of("class %s", c)
	if !sure && r.IntN(100) >= cmp.Or(odds[c], usually) {
		return nil
	}
	times := logUniform(r, 5)
	if c == Strand {
		times += 2 // mostly there is nobody to strand, or nothing comes of it
	}
	steps := make([]Step, times)
	for i := range steps {
		r := d.of("class %s step %d", c, i)
		steps[i] = Step{
			At: millis(r, length), Class: c, Which: r.IntN(1 << 16),
			For: time.Duration(20+logUniform(r, 2000)) * time.Millisecond,
		}
	}
	return steps
}

// millis draws a time below limit: in whole milliseconds, as it is written.
func millis(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(limit.Milliseconds())) * time.Millisecond
}

// logUniform draws a number from 1 to limit, each order of magnitude as often
// as any other.
func logUniform(r *rand.Rand, limit int) int {
	least := 1 << r.IntN(bits.Len(uint(limit)))
	return min(limit, least+r.IntN(least))
}
