// Package remote is a shard of a timeline as it lies in the object store, and
// decides who may change it.
//
// Below [layer.TimelinePrefix] lie
//
//	gen/<N>        one for each generation that was ever minted
//	index-<N>      what owner N says the timeline is: a register
//	layers/<…>     layer objects, written once, under names never used again
//
// An owner mints a generation, loads the newest index, and writes it as its own
// before it says anything to anybody. From then on every later owner builds on
// this index or on one that descends from it. So what an owner wrote *before*
// it looked and found no newer generation is part of all that comes later, and
// what it did not look for after is not: a layer is deleted, and its WAL given
// up, only after that look.
//
//   - upload, then index: an index never names what is not there;
//   - index, then look, then delete: nothing that a later owner may have loaded
//     is deleted;
//   - index, then look, then [Owner.RemoteConsistent]: WAL goes only when it is
//     in every index to come.
//
// An owner that finds a newer generation is superseded, for ever: it writes and
// deletes nothing more. Start at [Acquire] and [Owner.Change].
package remote
