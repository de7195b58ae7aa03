package fuzz

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Class is one kind of fault.
type Class uint8

// The classes, by what they befall.
const (
	// The network.
	Partition Class = iota
	OneWay
	Isolate
	Bridge
	Clog
	Flap
	Reset
	ResetSome
	HalfOpen
	HalfClose
	LateBytes
	Slam
	Refuse
	BlackHole
	BacklogFull
	SlowLinks
	SlowHost
	ThinLinks
	TinyWindow
	SlowReader
	Losses
	SplitReads
	Impatient
	WrongHost

	// Processes and their clocks.
	KillKeeper
	CutKeeper
	KillServer
	CutServer
	KillPages
	CutPages
	PauseKeeper
	PauseServer
	PausePages
	SlowProcess
	AllDown
	ClockStep
	ClockDrift

	// Disks.
	FailSync
	IOErrors
	DiskFull
	SlowDisk
	Journalled
	PagesIO
	PagesFull
	WipePages

	// The object store.
	BucketDown
	BucketErrors
	BucketUnknown
	BucketSlow
	BucketForbidden
	IndexUnknown

	// Computes, and who takes over from whom.
	Strand
	Takeover
	Zombie
	Duel
	ReplacePages

	classes
)

// An Area is what a class befalls.
type Area string

// The areas.
const (
	Network  Area = "network"
	Process  Area = "process"
	Storage  Area = "disk"
	Objects  Area = "object store"
	Computes Area = "compute"
	Operator Area = "operator"
	Load     Area = "load"
)

// When classes are admissible: every oracle can decide in spite of them, since
// they stay within what the installation is built to survive. A run may have
// any number of classes, and steps of them, at once.
const (
	anyTime = "any time: what is not durable on a majority was promised to nobody"
	delays  = "any time: it delays, and takes nothing"
	rebuilt = "any time: a pageserver can be made anew of WAL and the object store"
)

// A listing is what the catalogue says of a class.
type listing struct {
	area       Area
	name, text string
	rule       string // when it is admissible
	odds       int    // of a hundred runs those that have it; 0 is the usual number
}

// usually is how many of a hundred runs have a class.
const usually = 14

var catalogue = [classes]listing{
	Partition:   {Network, "partition", "two hosts do not hear each other", delays, 0},
	OneWay:      {Network, "one-way", "one host does not hear another", delays, 0},
	Isolate:     {Network, "isolate", "a host hears nobody", delays, 0},
	Bridge:      {Network, "bridge", "two halves of the hosts hear each other through one host only", delays, 0},
	Clog:        {Network, "clog", "the links of a host stop one by one, and come back in another order", delays, 0},
	Flap:        {Network, "flap", "a link goes and comes every few milliseconds", delays, 0},
	Reset:       {Network, "reset", "all connections of two hosts are reset", anyTime, 0},
	ResetSome:   {Network, "reset-some", "connections are reset behind a delivered segment: the sender does not know what was done", anyTime, 0},
	HalfOpen:    {Network, "half-open", "one end of connections is gone, the other is not told", anyTime, 0},
	HalfClose:   {Network, "half-close", "one direction of connections ends early, the other goes on", anyTime, 0},
	LateBytes:   {Network, "late-bytes", "bytes of old connections arrive when there are new ones", anyTime, 0},
	Slam:        {Network, "slam", "a host takes connections and resets them at once", delays, 0},
	Refuse:      {Network, "refuse", "a host refuses connections; those that there are go on", delays, 0},
	BlackHole:   {Network, "black-hole", "a host answers nobody who connects; connections that there are go on", delays, 0},
	BacklogFull: {Network, "backlog-full", "a host has room for one connection that waits to be accepted, and is slow to accept", delays, 0},
	SlowLinks:   {Network, "slow-links", "packets take long, some very long", delays, 0},
	SlowHost:    {Network, "slow-host", "packets from and to one host take long", delays, 0},
	ThinLinks:   {Network, "thin-links", "links carry little a second", delays, 0},
	TinyWindow:  {Network, "tiny-window", "few bytes of a connection may be under way", delays, 0},
	SlowReader:  {Network, "slow-reader", "a host takes what it is sent in small sips", delays, 0},
	Losses:      {Network, "losses", "packets are lost, and sent again much later", delays, 0},
	SplitReads:  {Network, "split-reads", "reads and writes are cut at any byte", anyTime, 0},
	Impatient:   {Network, "impatient", "connections are given up after a fraction of a second without an answer, in a network that is cut", anyTime, 0},
	WrongHost:   {Network, "wrong-host", "a safekeeper's name leads to another one for a while", anyTime, 0},

	KillKeeper:  {Process, "kill-safekeeper", "a safekeeper is killed and started again", anyTime, 0},
	CutKeeper:   {Process, "power-safekeeper", "a safekeeper loses power, and writes that were not synced", anyTime, 85},
	KillServer:  {Process, "kill-compute", "a compute is killed and started again", anyTime, 85},
	CutServer:   {Process, "power-compute", "a compute loses power", anyTime, 0},
	KillPages:   {Process, "kill-pageserver", "the pageserver is killed and started again", rebuilt, 0},
	CutPages:    {Process, "power-pageserver", "the pageserver loses power", rebuilt, 0},
	PauseKeeper: {Process, "pause-safekeeper", "a safekeeper stands still for a while", delays, 0},
	PauseServer: {Process, "pause-compute", "a compute stands still for a while", delays, 0},
	PausePages:  {Process, "pause-pageserver", "the pageserver stands still for a while", delays, 0},
	SlowProcess: {Process, "slow-process", "each step of a process takes long", delays, 0},
	AllDown:     {Process, "all-down", "everything loses power at once", anyTime, 0},
	ClockStep:   {Process, "clock-step", "a wall clock jumps", "any time: nothing goes by wall clocks but what people are shown", 0},
	ClockDrift:  {Process, "clock-drift", "a clock runs faster or slower", "up to 500 millionths: what leases are made for", 0},

	FailSync:   {Storage, "failed-sync", "a sync of a safekeeper's files fails, and what it was to make durable is lost", anyTime, 0},
	IOErrors:   {Storage, "io-errors", "reads and writes of a safekeeper's disk fail", anyTime, 0},
	DiskFull:   {Storage, "disk-full", "a safekeeper's disk is full for a while", delays, 0},
	SlowDisk:   {Storage, "slow-disk", "a disk takes long", delays, 0},
	Journalled: {Storage, "journalled", "power cuts leave a prefix of the changes of a disk", anyTime, 0},
	PagesIO:    {Storage, "pageserver-io", "reads, writes and syncs of a pageserver's disk fail", rebuilt, 0},
	PagesFull:  {Storage, "pageserver-full", "a pageserver's disk is full for a while", rebuilt, 0},
	WipePages:  {Storage, "wipe-pageserver", "the pageserver loses its disk", rebuilt, 50},

	BucketDown:      {Objects, "bucket-down", "the object store answers nobody for a while", delays, 0},
	BucketErrors:    {Objects, "bucket-errors", "the object store refuses requests", delays, 0},
	BucketUnknown:   {Objects, "bucket-unknown", "answers of the object store are lost, requests take effect late or twice", anyTime, 0},
	BucketSlow:      {Objects, "bucket-slow", "answers of the object store take long", delays, 0},
	BucketForbidden: {Objects, "bucket-forbidden", "the object store does not let a pageserver in for a while", delays, 0},
	IndexUnknown:    {Objects, "index-unknown", "pageservers get no answer when they write an index or mint a generation", anyTime, 70},

	Strand:       {Computes, "strand", "a compute reaches one safekeeper only, and dies: a tail is left there", anyTime, 100},
	Takeover:     {Computes, "takeover", "another compute takes the branch over", anyTime, 0},
	Zombie:       {Computes, "zombie", "a compute is cut off while another takes over, and comes back", anyTime, 0},
	Duel:         {Computes, "duel", "both computes take the branch over at once", anyTime, 0},
	ReplacePages: {Computes, "replace-pageserver", "another pageserver takes over while the old one stands still, is cut off, is dead, or knows nothing", rebuilt, 55},
}

// NotYet are faults of things that do not exist yet, or that the model of the
// world leaves out, with the reason. They are not injected and do not count.
var NotYet = []struct{ Name, Why string }{
	{"old-version", "nodes of another release: there is none yet"},
	{"compaction-race", "a tenant moves while compaction runs: there is no compaction yet"},
	{"retention-edge", "a branch at the edge of what is kept: all history is kept yet"},
	{"shard-lag", "one shard of a tenant lags: tenants have one shard yet"},
	{"multipart-cut", "an upload in parts is interrupted: objects are put whole"},
	{"stale-list", "listings lag behind: stores with that weakness are not supported"},
	{"standby-feedback", "feedback of a standby is lost: there are no standbys yet"},
	{"hidden-suspend", "a pause that no clock shows: outside what leases can bear, and said so"},
}

func (c Class) String() string { return catalogue[c].name }

// About says what a class is.
func (c Class) About() string { return catalogue[c].text }

// Area says what a class befalls.
func (c Class) Area() Area { return catalogue[c].area }

// Rule says when a class is admissible.
func (c Class) Rule() string { return catalogue[c].rule }

// odds is how many of a hundred runs have a class.
func (c Class) odds() int { return cmp.Or(catalogue[c].odds, usually) }

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
