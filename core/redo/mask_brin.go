package redo

// maskBrin hides the hole of pages that have one (brin_mask), and the hint that
// a page is to be emptied. A revmap page is full, whatever its header says.
func maskBrin(p *Page) {
	maskLSN(p)
	maskHints(p)
	o, ok := specialOf(p, brinOpaqueSize)
	if !ok {
		return
	}
	kind := u16(o, brinType)
	if kind == brinTypeRegular || kind == brinTypeMeta && lower(p) > headerSize {
		maskUnused(p)
	}
	put16(o, brinFlags, u16(o, brinFlags)&^brinEvacuate)
}
