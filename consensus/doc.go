// Package consensus decides which WAL of a timeline is committed.
//
// A proposer beside the compute offers WAL to acceptors, one inside every
// safekeeper. WAL is committed once a majority of acceptors has flushed it in
// the proposer's own term. Logs carry no terms; a [History] beside each log
// says at which LSN every term began, and two histories tell where two logs
// part ([Diverge]).
//
// Both sides are state machines without I/O, clock or randomness: a step takes
// an input and says what is owed. The node around an acceptor (package
// safekeeper) makes things durable in the order an [Output] names before it
// sends a reply; the proposer's driver (package compute/proposer) asks
// [Proposer.Next] what to send. Start at [Acceptor.Append] and
// [Proposer.Response].
package consensus
