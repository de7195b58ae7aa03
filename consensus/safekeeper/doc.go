// Package safekeeper is the node around consensus.Acceptor: it keeps WAL on a
// disk and makes the acceptor's promises durable before they leave.
//
// A node keeps many timelines, each created by name and only by name: what it
// cannot find, read or believe it refuses, because a safekeeper that guesses
// votes for WAL that others never had. One task serves one connection. An
// append is written, flushed and answered in the task that received it; what
// came in together is flushed together.
//
// Start at [Run], then at Timeline in timeline.go, which owns the order of
// things on the disk.
package safekeeper
