// Package redo turns (page, record) into page, and a record into what else it
// does to a cluster, for PostgreSQL 14 to 18, in pure Go.
//
// Redo is page-local: every block that a record names is computed from that
// block's previous version and the record, so a page at an LSN is a base image
// and the records since. [Applier.Apply] is that step; start there. What a
// record does that none of its block references says (visibility map bits,
// transaction status, truncations, dropped files, counters) is what
// [Effects.Decode] lists; changes of single pages come as a [Patch], a few
// bytes that are stored beside records and replayed like them.
//
// One file holds one resource manager. [Mask], [Diff] and package verify hold
// the routines to PostgreSQL's own images.
package redo
