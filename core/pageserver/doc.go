// Package pageserver keeps every version of every page of a timeline, and
// serves them: GetPage@LSN.
//
// A timeline is a base, image layers in the object store made by [Import] of
// a data directory or its ancestor as of an LSN, and the WAL since, which a receiver streams from the
// safekeepers. Ingest turns each record into versions: the record's bytes,
// kept once, under every page that it names, patches for what it changes
// beyond them, and histories of the sizes of forks. Reading a page at an LSN
// finds its newest version that needs no older one, and replays what follows
// with package redo. No block is ever searched before the moment at which it
// last came into being: see [fork].
//
// Versions are in memory, in the open layer, until a flush writes them to a
// delta layer: see [Timeline.Flush]. What a restart needs of a timeline beside
// its base is the manifest and those layers; see restore.go.
//
// Start at [Timeline]: Ingest writes, GetPages reads. [Run] is the node.
package pageserver
