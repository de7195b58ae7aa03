package redo

import (
	layouts "xenon/core/redo/describe"
	"xenon/core/wal"
)

// Diff names the first field, by its PostgreSQL name, in which two pages
// differ, with both values; it is empty if they are equal. The layout is read
// from got, as one of the manager's pages.
func Diff(got, want *Page, id wal.RmgrID) string {
	if d, ok := layouts.FirstDifference(got, want, id); ok {
		return d.String()
	}
	return ""
}
