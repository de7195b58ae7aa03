package diskdrv

import (
	"bytes"
	"slices"
)

// A file's bytes are kept in pages. What a crash decides about is sectors:
// a write of one sector is there or not, never half.
const (
	pageSize   = 4096
	sectorSize = 512
	// maxFileSize keeps a write at an absurd offset from taking the memory of
	// the machine that simulates it.
	maxFileSize = 16 << 30
)

// A page is the bytes of one page of a file. What the system shows, what the
// device holds and what is on its way between them mostly agree, so that they
// have pages in common: a shared one is never changed again.
type page struct {
	bytes  [pageSize]byte
	shared bool
}

// zeroPage is every page of zeroes: neither Allocate nor writing zeroes costs
// memory.
var zeroPage = page{shared: true}

// sharedPage is a page with the bytes of p, which is as long as one.
func sharedPage(p []byte) *page {
	if bytes.Equal(p, zeroPage.bytes[:]) {
		return &zeroPage
	}
	q := &page{shared: true}
	copy(q.bytes[:], p)
	return q
}

// An image is the bytes of one file, at one level: what the system shows, or
// what the device holds. A nil page is a hole.
type image struct {
	size  int64
	pages []*page
}

// read copies from the image, as far as it goes.
func (m *image) read(p []byte, off int64) int {
	if off >= m.size {
		return 0
	}
	p = p[:min(int64(len(p)), m.size-off)]
	for done := 0; done < len(p); {
		n, in := (off+int64(done))/pageSize, (off+int64(done))%pageSize
		part := p[done:min(len(p), done+int(pageSize-in))]
		if n < int64(len(m.pages)) && m.pages[n] != nil {
			copy(part, m.pages[n].bytes[in:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return len(p)
}

// write puts bytes into pages and leaves the size alone. It tells how many
// pages it took.
func (m *image) write(p []byte, off int64) (taken int) {
	for len(p) > 0 {
		n, in := off/pageSize, off%pageSize
		part := p[:min(len(p), int(pageSize-in))]
		taken += m.own(n)
		copy(m.pages[n].bytes[in:], part)
		p, off = p[len(part):], off+int64(len(part))
	}
	return taken
}

// own makes page n one that can be written, and tells whether it was a hole.
func (m *image) own(n int64) (taken int) {
	m.reach(n)
	switch p := m.pages[n]; {
	case p == nil:
		m.pages[n] = new(page)
		return 1
	case p == &zeroPage:
		m.pages[n] = new(page)
	case p.shared:
		m.pages[n] = &page{bytes: p.bytes}
	}
	return 0
}

// share makes page n a shared one, and tells whether it was a hole.
func (m *image) share(n int64, p *page) (taken int) {
	m.reach(n)
	if m.pages[n] == nil {
		taken = 1
	}
	m.pages[n] = p
	return taken
}

func (m *image) reach(n int64) {
	for int64(len(m.pages)) <= n {
		m.pages = append(m.pages, nil)
	}
}

// reserve makes holes between off and end pages of zeros.
func (m *image) reserve(off, end int64) (taken int) {
	for n := off / pageSize; n*pageSize < end; n++ {
		m.reach(n)
		if m.pages[n] == nil {
			m.pages[n] = &zeroPage
			taken++
		}
	}
	return taken
}

// holes counts the pages that a write of [off, end) would take.
func (m *image) holes(off, end int64) (n int) {
	for i := off / pageSize; i*pageSize < end; i++ {
		if i >= int64(len(m.pages)) || m.pages[i] == nil {
			n++
		}
	}
	return n
}

// truncate sets the size; what lay beyond it is zeros ever after. It tells how
// many pages it gave back.
func (m *image) truncate(size int64) (given int) {
	m.size = size
	keep := (size + pageSize - 1) / pageSize
	if keep < int64(len(m.pages)) {
		for _, p := range m.pages[keep:] {
			if p != nil {
				given++
			}
		}
		clear(m.pages[keep:])
		m.pages = m.pages[:keep]
	}
	if in := size % pageSize; in != 0 && keep == int64(len(m.pages)) && m.pages[keep-1] != nil {
		m.own(keep - 1)
		clear(m.pages[keep-1].bytes[in:])
	}
	return given
}

// taken counts the pages that are no holes.
func (m *image) taken() (n int) {
	for _, p := range m.pages {
		if p != nil {
			n++
		}
	}
	return n
}

// clone is an image with the same bytes, in the same pages.
func (m *image) clone() image {
	for _, p := range m.pages {
		if p != nil && !p.shared {
			p.shared = true
		}
	}
	return image{size: m.size, pages: slices.Clone(m.pages)}
}
