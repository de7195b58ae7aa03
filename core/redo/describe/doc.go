// Package describe puts WAL records and pages into words: every field under
// the name that PostgreSQL's headers give it, as text for people or as JSON.
//
// The layouts are tables ([layout]): a line for each kind of record and page,
// with the offsets that a C compiler gives to such a struct. Start at
// [Record], [Page] and [FirstDifference]. Nothing here decides anything: bytes
// that make no sense are described as far as they go.
package describe
