package reference

import (
	"bytes"
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A Past is a cluster as of the end of every record since it began. A version
// of a page costs what the record changed of it: pages are kept in pieces, and
// versions have those in common that are equal.
type Past struct {
	now      *State
	pages    map[core.Key][]pageVersion
	sizes    map[core.Key][]sizeVersion
	counters []redo.Counters // as of each moment
	spares   []*redo.Page
}

// pieceSize divides a page so that a record mostly changes two or three pieces.
const pieceSize = 512

type (
	piece  [pieceSize]byte
	pieces [core.PageSize / pieceSize]*piece
)

// A pageVersion is a page from a moment on; without pieces it is not there.
type pageVersion struct {
	moment int
	pieces *pieces
}

type sizeVersion struct {
	moment int
	blocks uint32
	exists bool
}

// NewPast begins with a state, at moment 0. The state is copied.
func NewPast(s *State) *Past {
	p := &Past{pages: map[core.Key][]pageVersion{}, sizes: map[core.Key][]sizeVersion{}, counters: []redo.Counters{s.Counters}}
	p.now = &State{Sizes: maps.Clone(s.Sizes), Pages: map[core.Key]*redo.Page{}, Counters: s.Counters, past: p}
	for _, first := range s.firsts() {
		p.sizes[first] = []sizeVersion{{0, s.Sizes[first], true}}
	}
	for _, k := range sortedKeys(s.Pages) {
		p.now.Pages[k] = p.spare()
		*p.now.Pages[k] = *s.Pages[k]
		p.pages[k] = []pageVersion{{0, cut(nil, s.Pages[k])}}
	}
	return p
}

func sortedKeys[T any](m map[core.Key]T) []core.Key {
	return slices.SortedFunc(maps.Keys(m), core.Key.Compare)
}

// Apply replays a record: what it makes is the next moment.
func (p *Past) Apply(rec *wal.Record) error {
	p.counters = append(p.counters, redo.Counters{})
	err := p.now.Apply(rec)
	p.counters[len(p.counters)-1] = p.now.Counters
	return err
}

// At is the cluster after the first n records. It stays as it is.
func (p *Past) At(n int) View { return View{p, n} }

// cut divides a page; pieces that are equal to those of before are the same.
func cut(before *pieces, page *redo.Page) *pieces {
	now := new(pieces)
	for i := range now {
		part := page[i*pieceSize:][:pieceSize]
		if before != nil && bytes.Equal(before[i][:], part) {
			now[i] = before[i]
			continue
		}
		now[i] = (*piece)(bytes.Clone(part))
	}
	return now
}

// changed is told of a new page, nil for one that is gone. It takes the old one
// for its own.
func (p *Past) changed(k core.Key, old, page *redo.Page) {
	if p == nil {
		return
	}
	list, v := p.pages[k], pageVersion{moment: len(p.counters) - 1}
	if page != nil {
		var before *pieces
		if len(list) > 0 {
			before = list[len(list)-1].pieces
		}
		v.pieces = cut(before, page)
	}
	if n := len(list); n > 0 && list[n-1].moment == v.moment {
		list[n-1] = v
	} else {
		p.pages[k] = append(list, v)
	}
	if old != nil {
		p.spares = append(p.spares, old)
	}
}

// resized is told of a new size.
func (p *Past) resized(first core.Key, blocks uint32, exists bool) {
	if p != nil {
		p.sizes[first] = append(p.sizes[first], sizeVersion{len(p.counters) - 1, blocks, exists})
	}
}

// spare is a page to write on; what is on it is of no account.
func (p *Past) spare() *redo.Page {
	if p == nil || len(p.spares) == 0 {
		return new(redo.Page)
	}
	last := len(p.spares) - 1
	page := p.spares[last]
	p.spares = p.spares[:last]
	return page
}

// A View is a cluster as of a moment.
type View struct {
	past   *Past
	moment int
}

// newest is the last of a list, sorted by moment, that is no later than n.
func newest[T any](list []T, n int, moment func(*T) int) (v T, ok bool) {
	i := len(list)
	if i > 0 && moment(&list[i-1]) > n { // mostly the present is asked for
		i, _ = slices.BinarySearchFunc(list, n+1, func(v T, n int) int {
			if moment(&v) < n {
				return -1
			}
			return 1
		})
	}
	if i == 0 {
		return v, false
	}
	return list[i-1], true
}

func (p *Past) sizeAt(first core.Key, n int) (blocks uint32, exists bool) {
	v, _ := newest(p.sizes[first], n, func(v *sizeVersion) int { return v.moment })
	return v.blocks, v.exists
}

func (p *Past) pageAt(k core.Key, n int) (page redo.Page, ok bool) {
	v, _ := newest(p.pages[k], n, func(v *pageVersion) int { return v.moment })
	if v.pieces == nil {
		return page, false
	}
	for i, b := range v.pieces {
		copy(page[i*pieceSize:], b[:])
	}
	return page, true
}

// Size is how many blocks a fork has; exists is false if there is no such fork.
func (v View) Size(r core.Rel) (blocks uint32, exists bool) {
	return v.past.sizeAt(core.BlockKey(r, 0), v.moment)
}

// Page is a page of a relation; ok is false if there is no such block.
func (v View) Page(r core.Rel, blk uint32) (p redo.Page, ok bool) {
	if n, exists := v.Size(r); !exists || blk >= n {
		return p, false
	}
	p, _ = v.past.pageAt(core.BlockKey(r, blk), v.moment)
	return p, true
}

// State is the whole cluster.
func (v View) State() *State {
	s := &State{Sizes: map[core.Key]uint32{}, Pages: map[core.Key]*redo.Page{}, Counters: v.past.counters[v.moment]}
	for _, first := range sortedKeys(v.past.sizes) {
		if n, exists := v.past.sizeAt(first, v.moment); exists {
			s.Sizes[first] = n
		}
	}
	for _, k := range sortedKeys(v.past.pages) {
		if page, ok := v.past.pageAt(k, v.moment); ok {
			s.Pages[k] = &page
		}
	}
	return s
}
