// Package layer keeps values of keys in immutable files, and knows which file
// holds which part of a timeline's history. Image layers are the state of a
// range of keys at one LSN; delta layers are what happened to a range of keys
// over a range of LSNs.
//
// A file is written once, front to back, by a [Writer] or a [DeltaWriter], and
// read by ranges by an [Image] or a [Delta], from an object store or a disk
// alike. Every stored byte is under a CRC-32C that also covers which layer and
// which place it belongs to, so that a block of another file or another offset
// is as corrupt as a flipped bit.
//
// A [Map] has the layers of a shard's timeline and tells which one to read next
// for a key below an LSN.
//
// Start at [Writer], [Image.Get], [Delta.Get] and [Map.Next]; format.go has the
// bytes.
package layer
