// Package membership changes who keeps the WAL of a timeline, while it is
// written.
//
// One register for each timeline holds its configuration, a [Record]; a
// generation exists once it was written there. A [Change] carries a timeline
// from one set of safekeepers to another through a joint configuration, in
// which whatever needs a majority needs one of each set. It decides what is to
// be done from the record and from what safekeepers have answered, and keeps
// nothing else: whoever is interrupted begins again with the record, and any
// number may be at it at once.
//
// Package migrate does what a Change says. Start at [Change.Next].
package membership
