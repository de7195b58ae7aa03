// Package core holds the names of the field: LSN, Term, TenantID, TimelineID,
// NodeID, Key and what a relation is called. It is a leaf: it imports nothing
// of xenon, and everything else imports it.
//
// Start at [LSN] and [Key]; [Must] is how a part states what it relies on.
package core
