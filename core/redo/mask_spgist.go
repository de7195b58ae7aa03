package redo

// maskSpgist hides what every manager's mask does (spg_mask); the meta page of
// an old index may not say where its hole is.
func maskSpgist(p *Page) {
	maskLSN(p)
	maskHints(p)
	if lower(p) >= headerSize {
		maskUnused(p)
	}
}
