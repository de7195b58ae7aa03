// Package diskdrv is the simulated disk of a process and the simulated object
// store that processes share.
//
// A [Disk] keeps two states of each file and directory, what the running
// system shows and what the device holds, and in between the ordered changes
// that no sync has made durable yet. [Disk.CutPower] lets chance decide about
// each of them; [Disk.Killed] keeps all. A [Bucket] has the rules of S3 and
// answers late, twice, or not at all.
//
// Both outlive the incarnations of processes: each incarnation gets its own
// [Disk.FS] and [Bucket.Objects]. Every choice comes from the generator that
// the maker passes in, so that a run is a function of its seed. All faults are
// off in a new Disk or Bucket; a plan sets Faults, or injects single ones.
//
// [DiskIn] and [BucketIn] make them for a world of package netsim: choices come
// from the world's seed, and what happens is part of its trace. A disk goes into
// netsim.ProcOptions.Disk, a bucket's Objects into ProcOptions.Objects. Oracles
// read what a power cut would leave with [Disk.ReadDurable], and the objects
// with [Bucket.Peek], without a request being made.
package diskdrv
