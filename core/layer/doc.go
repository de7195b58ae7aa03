// Package layer keeps values of keys in immutable files: image layers, each
// the state of a range of keys at one LSN.
//
// A file is written once, front to back, by a [Writer], and read by ranges by
// an [Image], from an object store or a disk alike. Every stored byte is under
// a CRC-32C that also covers which layer and which place it belongs to, so
// that a block of another file or another offset is as corrupt as a flipped
// bit.
//
// Start at [Writer] and [Image.Get]; format.go has the bytes.
package layer
