// Package verify replays a recorded cluster with package redo and holds the
// outcome to what PostgreSQL itself made of it.
//
// A corpus is a directory with initial/ (a data directory, cleanly shut down),
// wal/ (the segments since), and optionally replayed/ (initial/ brought by
// PostgreSQL to the end of the WAL). Three oracles judge: the images of pages
// that wal_consistency_checking puts into records, the counters that shutdown
// checkpoints state, and every file of replayed/, byte for byte. Start at
// [Corpus].
package verify
