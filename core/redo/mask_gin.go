package redo

// maskGin hides what replay of Gin may differ in (gin_mask): all of a deleted
// page, and the hole of one whose pd_lower can be believed, which it could not
// before 9.4.
func maskGin(p *Page) {
	maskLSN(p)
	maskHints(p)
	o, ok := ginOpaqueOf(p)
	switch {
	case ok && o.flags()&ginDeleted != 0:
		maskContent(p)
	case lower(p) > headerSize:
		maskUnused(p)
	}
}
