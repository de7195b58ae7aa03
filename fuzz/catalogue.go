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
	LongPause
	Stutter
	RestartLoop
	StopNode
	StopThenKill
	RollingRestart
	AllKilled
	MajorityDown
	Clock1970
	ClockFrozen
	ClockRates

	// Disks.
	FailSync
	IOErrors
	DiskFull
	SlowDisk
	PagesIO
	PagesFull
	WipePages
	ReadErrors
	FlakySpace
	DeviceGone
	ReadOnlyDisk
	SyncOnce
	RotWAL
	BadSectorWAL
	BadSectorTail
	RotControl
	WipeKeeper
	RotLayers
	BadLayers
	StaleLayers
	MisreadLayers
	MisplacedLayers

	// Named points: between two steps that are durable one by one.
	CutAtWrite
	CutAtSync
	CutAtName
	CutAtTruncate
	TornWrites
	LostNames
	LostBytes
	Reordered
	Journalled
	CutAtVote
	CutAtAdopt
	CutAtAck
	KillAtElection
	KillAtCommit
	CutAtOpen
	CutAtFlush
	CutAtReport

	// The object store.
	BucketDown
	BucketErrors
	BucketUnknown
	BucketSlow
	BucketForbidden
	IndexUnknown
	SlowDownStorm
	ConflictStorm
	SlowLists
	CutBodies
	StalledBodies
	WrongRanges
	DamagedBodies
	DoneTwice
	DoneLate
	LostAnswers
	CutFromBucket
	RegistersUnknown
	RegistersForbidden
	ObjectLost
	ObjectDamaged

	// Computes, and who takes over from whom.
	Strand
	Takeover
	Zombie
	Duel
	ReplacePages

	// What operators do by mistake.
	WrongVolume
	OldSnapshot
	AttachBoth
	CreateAgain

	// Load.
	HotKey
	Burst
	ChurnStorm
	BigRecords
	EvictionStorm

	classes
)

// An Area is what a class befalls.
type Area string

// The areas.
const (
	Network  Area = "network"
	Process  Area = "process"
	Storage  Area = "disk"
	Points   Area = "point"
	Objects  Area = "object store"
	Computes Area = "compute"
	Operator Area = "operator"
	Load     Area = "load"
)

// When classes are admissible: every oracle can decide in spite of them, since
// they stay within what the installation is built to survive. A run may have
// any number of classes, and steps of them, at once.
const (
	anyTime      = "any time: what is not durable on a majority was promised to nobody"
	delays       = "any time: it delays, and takes nothing"
	oneKeeper    = "one safekeeper, the same in the whole run, and segments that all have committed, so that no byte is bad on two; where fewer than three have them, or members change, the object store has them as well"
	oneLost      = "one safekeeper, until another has taken its place, where at least two more members have all that they are to have, and while nobody else changes members or makes a branch"
	storedLayers = "layers that are in the object store: their copies are damaged, not the only ones"
	restored     = "any time, for a while: whoever needs it waits; registers are spared, since they are all that there is of what they say"
	rebuilt      = "any time: a pageserver can be made anew of WAL and the object store"
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
	WrongHost:   {Network, "wrong-host", "a safekeeper's name leads to another one for a while", anyTime, 30},

	KillKeeper:     {Process, "kill-safekeeper", "a safekeeper is killed and started again", anyTime, 0},
	CutKeeper:      {Process, "power-safekeeper", "a safekeeper loses power, and writes that were not synced", anyTime, 85},
	KillServer:     {Process, "kill-compute", "a compute is killed and started again", anyTime, 85},
	CutServer:      {Process, "power-compute", "a compute loses power", anyTime, 0},
	KillPages:      {Process, "kill-pageserver", "the pageserver is killed and started again", rebuilt, 0},
	CutPages:       {Process, "power-pageserver", "the pageserver loses power", rebuilt, 0},
	PauseKeeper:    {Process, "pause-safekeeper", "a safekeeper stands still for a while", delays, 0},
	PauseServer:    {Process, "pause-compute", "a compute stands still for a while", delays, 0},
	PausePages:     {Process, "pause-pageserver", "the pageserver stands still for a while", delays, 0},
	SlowProcess:    {Process, "slow-process", "each step of a process takes long", delays, 0},
	AllDown:        {Process, "all-down", "everything loses power at once", anyTime, 0},
	ClockStep:      {Process, "clock-step", "a wall clock jumps", "any time: nothing goes by wall clocks but what people are shown", 0},
	ClockDrift:     {Process, "clock-drift", "a clock runs faster or slower", "up to 500 millionths: what leases are made for", 0},
	LongPause:      {Process, "long-pause", "a process stands still until others have given it up", delays, 0},
	Stutter:        {Process, "stutter", "a process stands still for a moment, again and again", delays, 0},
	RestartLoop:    {Process, "restart-loop", "a process is killed again and again soon after its start", anyTime, 0},
	StopNode:       {Process, "stop", "a process is asked to end", anyTime, 0},
	StopThenKill:   {Process, "stop-then-kill", "a process that is ending is killed, or loses power", anyTime, 0},
	RollingRestart: {Process, "rolling-restart", "the safekeepers are restarted one after the other", anyTime, 0},
	AllKilled:      {Process, "all-killed", "all processes are killed at once; the kernels live on", anyTime, 0},
	MajorityDown:   {Process, "majority-down", "all safekeepers but a minority lose power: commits wait", anyTime, 0},
	Clock1970:      {Process, "clock-1970", "a wall clock leaps to 1970, and back", "any time: nothing goes by wall clocks but what people are shown", 0},
	ClockFrozen:    {Process, "clock-frozen", "a wall clock stands still for a while", "any time: nothing goes by wall clocks but what people are shown", 0},
	ClockRates:     {Process, "clock-rates", "the clocks of pageservers run at half to double speed", "of pageservers only: leases go by the clocks of the others", 0},

	FailSync:        {Storage, "failed-sync", "a sync of a safekeeper's files fails, and what it was to make durable is lost", anyTime, 0},
	IOErrors:        {Storage, "io-errors", "reads and writes of a safekeeper's disk fail", anyTime, 0},
	DiskFull:        {Storage, "disk-full", "a safekeeper's disk is full for a while", delays, 0},
	SlowDisk:        {Storage, "slow-disk", "a disk takes long", delays, 0},
	PagesIO:         {Storage, "pageserver-io", "reads, writes and syncs of a pageserver's disk fail", rebuilt, 0},
	PagesFull:       {Storage, "pageserver-full", "a pageserver's disk is full for a while", rebuilt, 0},
	WipePages:       {Storage, "wipe-pageserver", "the pageserver loses its disk", rebuilt, 50},
	ReadErrors:      {Storage, "read-errors", "reads of a disk fail, writes do not", anyTime, 0},
	FlakySpace:      {Storage, "flaky-space", "a disk says now and then that it is full, in the middle of a write", delays, 0},
	DeviceGone:      {Storage, "device-gone", "a disk is away for a while, and comes back with what it held", anyTime, 0},
	ReadOnlyDisk:    {Storage, "read-only", "a disk is mounted for reading only, for a while", anyTime, 0},
	SyncOnce:        {Storage, "sync-once", "one sync of WAL fails, and the next one says that all is well", anyTime, 0},
	RotWAL:          {Storage, "rot-wal", "a bit of old WAL changes on one safekeeper", oneKeeper, 40},
	BadSectorWAL:    {Storage, "bad-sector-wal", "a sector of old WAL cannot be read on one safekeeper", oneKeeper, 40},
	BadSectorTail:   {Storage, "bad-sector-tail", "a safekeeper starts without a sector of WAL that may have been acknowledged", "one of three or more safekeepers, the same in the whole run, while the members stay", 25},
	RotControl:      {Storage, "rot-control", "a bit of a control file changes while its safekeeper is down; it is put right later", "one safekeeper, the same in the whole run, and not for good: it must refuse, and is away meanwhile", 0},
	WipeKeeper:      {Storage, "wipe-safekeeper", "a safekeeper loses its disk and comes back with an empty one; an operator has another one take its place", oneLost, 20},
	RotLayers:       {Storage, "rot-layers", "a bit of a layer changes on a pageserver's disk", storedLayers, 0},
	BadLayers:       {Storage, "bad-layers", "a sector of a layer cannot be read on a pageserver's disk", storedLayers, 0},
	StaleLayers:     {Storage, "stale-reads", "reads of layers find what was there before they were written", rebuilt, 0},
	MisreadLayers:   {Storage, "misdirected-reads", "reads of layers find bytes of another place", rebuilt, 0},
	MisplacedLayers: {Storage, "misdirected-writes", "writes of layers land in another place", rebuilt, 0},

	CutAtWrite:     {Points, "cut-at-write", "the power goes behind the nth write, before it is synced", anyTime, 0},
	CutAtSync:      {Points, "cut-at-sync", "the power goes behind the nth sync, before anybody hears of it", anyTime, 0},
	CutAtName:      {Points, "cut-at-name", "the power goes behind a creation, renaming or removal, before its directory is synced", anyTime, 0},
	CutAtTruncate:  {Points, "cut-at-truncate", "the power goes behind a truncation or an allocation", anyTime, 0},
	TornWrites:     {Points, "torn-writes", "the power goes, and of each write some sectors are there", anyTime, 0},
	LostNames:      {Points, "lost-names", "the power goes with all names whose directory was not synced; the bytes are there", anyTime, 0},
	LostBytes:      {Points, "lost-bytes", "the power goes with all bytes that were not synced; names and sizes are there", anyTime, 0},
	Reordered:      {Points, "reordered", "the power goes, and later changes are there while earlier ones are not", anyTime, 0},
	Journalled:     {Points, "journalled", "the power goes, and a prefix of the changes is there", anyTime, 0},
	CutAtVote:      {Points, "at-vote", "a safekeeper ends when it is about to answer a vote", anyTime, 0},
	CutAtAdopt:     {Points, "at-adopt", "a safekeeper ends when it is about to make its log that of a new term", anyTime, 0},
	CutAtAck:       {Points, "at-ack", "a safekeeper ends when it is about to acknowledge WAL", anyTime, 0},
	KillAtElection: {Points, "at-election", "a compute ends when it has been elected, before its server starts", anyTime, 0},
	KillAtCommit:   {Points, "at-commit", "a compute ends when a quorum has its WAL, before its server hears of it", anyTime, 0},
	CutAtOpen:      {Points, "at-open", "a pageserver ends when it has opened a timeline", rebuilt, 0},
	CutAtFlush:     {Points, "at-flush", "a pageserver ends when a flush has become durable", rebuilt, 0},
	CutAtReport:    {Points, "at-report", "a pageserver ends when it is about to say that WAL may go", rebuilt, 0},

	BucketDown:         {Objects, "bucket-down", "the object store answers nobody for a while", delays, 0},
	BucketErrors:       {Objects, "bucket-errors", "the object store refuses requests", delays, 0},
	BucketUnknown:      {Objects, "bucket-unknown", "answers of the object store are lost, requests take effect late or twice", anyTime, 0},
	BucketSlow:         {Objects, "bucket-slow", "answers of the object store take long", delays, 0},
	BucketForbidden:    {Objects, "bucket-forbidden", "the object store does not let a pageserver in for a while", delays, 0},
	IndexUnknown:       {Objects, "index-unknown", "pageservers get no answer when they write an index or mint a generation", anyTime, 70},
	SlowDownStorm:      {Objects, "slow-down-storm", "most requests are told to slow down", delays, 0},
	ConflictStorm:      {Objects, "conflict-storm", "conditional writes meet others that are under way, and are refused", delays, 0},
	SlowLists:          {Objects, "slow-lists", "listings come in pages of one, each of them late", delays, 0},
	CutBodies:          {Objects, "cut-bodies", "bodies of objects end early", delays, 0},
	StalledBodies:      {Objects, "stalled-bodies", "bodies of objects stop for a second", delays, 0},
	WrongRanges:        {Objects, "wrong-ranges", "a part of an object comes from another place of it", "any time: the object itself is right", 0},
	DamagedBodies:      {Objects, "damaged-bodies", "a bit of an object changes on its way", "any time: the object itself is right", 0},
	DoneTwice:          {Objects, "done-twice", "requests are done twice", anyTime, 0},
	DoneLate:           {Objects, "done-late", "requests are done long after their sender gave up", anyTime, 0},
	LostAnswers:        {Objects, "lost-answers", "requests are done, and nobody hears of it", anyTime, 0},
	CutFromBucket:      {Objects, "cut-from-bucket", "one process does not reach the object store, the others do", delays, 0},
	RegistersUnknown:   {Objects, "registers-unknown", "computes get no answer when they take their endpoint", anyTime, 0},
	RegistersForbidden: {Objects, "registers-forbidden", "computes may not read or write the register of their endpoint", delays, 0},
	ObjectLost:         {Objects, "object-lost", "somebody deletes a layer, and restores it later", restored, 0},
	ObjectDamaged:      {Objects, "object-damaged", "a bit of a layer in the object store changes, and it is restored later", restored, 0},

	Strand:       {Computes, "strand", "a compute reaches one safekeeper only, and dies: a tail is left there", anyTime, 100},
	Takeover:     {Computes, "takeover", "another compute takes the branch over", anyTime, 0},
	Zombie:       {Computes, "zombie", "a compute is cut off while another takes over, and comes back", anyTime, 0},
	Duel:         {Computes, "duel", "both computes take the branch over at once", anyTime, 0},
	ReplacePages: {Computes, "replace-pageserver", "another pageserver takes over while the old one stands still, is cut off, is dead, or knows nothing", rebuilt, 55},

	WrongVolume: {Operator, "wrong-volume", "two safekeepers get each other's disk, until somebody notices", "any time: both refuse, and are away meanwhile; what they hold stays as it is", 0},
	OldSnapshot: {Operator, "old-snapshot", "a pageserver's disk is set back to what it was some time ago", rebuilt, 0},
	AttachBoth:  {Operator, "attach-both", "a second pageserver is told to serve what the first one serves", rebuilt, 0},
	CreateAgain: {Operator, "create-again", "timelines that there are are created again", anyTime, 0},

	HotKey:        {Load, "hot-key", "all clients want the same key", delays, 0},
	Burst:         {Load, "burst", "all clients are silent, and then all at once", delays, 0},
	ChurnStorm:    {Load, "churn-storm", "relations are filled, emptied, truncated and made anew all the time", delays, 0},
	BigRecords:    {Load, "big-records", "records of many pages, one after the other", delays, 0},
	EvictionStorm: {Load, "eviction-storm", "servers have no memory for pages: each is written as soon as it may be", delays, 0},
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
