// Package standin is a server without PostgreSQL: a key-value store that runs
// on the two trees of an endpoint, as PostgreSQL does, and needs no kernel.
//
// It boots from the control file and the checkpoint that it finds, reads and
// writes pages of the data directory, writes WAL in PostgreSQL's format into
// segments and fdatasyncs them before it acknowledges a commit. A value is a
// tuple of a heap page, visible if the transaction that wrote it is marked
// committed in pg_xact. So whatever an endpoint does for a server is done for
// it, by the same code, in the simulator and on real disks.
//
// Start at [Host]; [Server.Put] is the path of a write.
package standin
