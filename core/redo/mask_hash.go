package redo

// maskHash hides what hash indexes change without WAL (hash_mask): a page that
// is free has no content, and scans leave hints that tuples are dead.
func maskHash(p *Page) {
	maskCommon(p)
	o, ok := hashSpecial(p)
	if !ok {
		return
	}
	switch o.flags() & hashPageTypes {
	case hashUnused:
		maskContent(p)
	case hashBucket, hashOverflow:
		maskItemFlags(p)
	}
	o.setFlags(o.flags() &^ hashHasDead)
}
