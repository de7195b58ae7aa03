// Package archive is the WAL of a timeline in the object store: what its
// objects are called, what they hold, and how WAL is read out of them.
//
// Below wal/TENANT/TIMELINE/ lie
//
//	000000010000000000000005                          a segment, whole and committed
//	000000010000000000000006_…_sk3_….partial          what safekeeper 3 had of the one after
//
// A segment is decided by consensus: whoever stores it stores the same bytes.
// So its name has no generation, it is created and never written over, and who
// finds it there compares checksums. A partial segment is one safekeeper's own;
// its name is never used twice, because a deletion may take effect late.
//
// Every block of an object has a checksum, which is compared before a byte of
// the block is given to anybody. Start at [PutSegment] and [Reader].
package archive
