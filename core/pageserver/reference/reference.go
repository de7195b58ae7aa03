// Package reference replays WAL the simplest way: every record onto a map of
// pages, at once and in order, as recovery does. What a pageserver answers must
// equal it. A [State] keeps nothing of the past but what [State.Clone] copied; a
// [Past] keeps all of it. Both are fit for small clusters only.
//
// Start at [State.Apply].
package reference

import (
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// A State is a cluster at one moment.
type State struct {
	// Sizes has the forks and segments that exist, by the key of their block
	// 0, with their number of blocks.
	Sizes map[core.Key]uint32
	// Pages has every block that was ever written in the life that it has now;
	// the others are zeroes. The pages are never changed in place.
	Pages    map[core.Key]*redo.Page
	Counters redo.Counters

	effects redo.Effects
	applier redo.Applier
	past    *Past // is told of every change; nil if nobody keeps them
}

// New makes a cluster of forks of zeroes.
func New(c redo.Counters, sizes map[core.Key]uint32) *State {
	return &State{Sizes: maps.Clone(sizes), Pages: map[core.Key]*redo.Page{}, Counters: c}
}

// Clone is the state as it is, whatever is applied to s later.
func (s *State) Clone() *State {
	return &State{Sizes: maps.Clone(s.Sizes), Pages: maps.Clone(s.Pages), Counters: s.Counters}
}

// Page is a page of a relation; ok is false if there is no such block.
func (s *State) Page(r core.Rel, blk uint32) (p redo.Page, ok bool) {
	return s.page(core.BlockKey(r, 0), core.BlockKey(r, blk), blk)
}

// SLRUPage is a page of a segment of an SLRU.
func (s *State) SLRUPage(u core.SLRU, seg, blk uint32) (p redo.Page, ok bool) {
	return s.page(core.SLRUBlockKey(u, seg, 0), core.SLRUBlockKey(u, seg, blk), blk)
}

func (s *State) page(first, k core.Key, blk uint32) (p redo.Page, ok bool) {
	if n, exists := s.Sizes[first]; !exists || blk >= n {
		return p, false
	}
	if at := s.Pages[k]; at != nil {
		p = *at
	}
	return p, true
}

// Apply replays a record.
func (s *State) Apply(rec *wal.Record) error {
	s.applier.LogHints = s.Counters.Settings.LogHints()
	effects, err := s.effects.Decode(rec, &s.Counters)
	if err != nil {
		return err
	}
	for i := range rec.Blocks {
		b := &rec.Blocks[i]
		if b.Rel.Fork == core.FSMFork {
			continue
		}
		first, k := core.BlockKey(b.Rel, 0), core.BlockKey(b.Rel, b.Block)
		p := s.copyOf(first, k, b.Block)
		if _, err := s.applier.Apply(p, rec, b); err != nil {
			return err
		}
		s.put(first, k, b.Block, p)
	}
	for i := range effects {
		if err := s.effect(&effects[i]); err != nil {
			return err
		}
	}
	return nil
}

// copyOf is a page as it is, to be changed and put back.
func (s *State) copyOf(first, k core.Key, blk uint32) *redo.Page {
	p := s.past.spare()
	if at := s.Pages[k]; at != nil && blk < s.Sizes[first] {
		*p = *at
	} else {
		*p = redo.Page{}
	}
	return p
}

// put takes p for its own.
func (s *State) put(first, k core.Key, blk uint32, p *redo.Page) {
	if n, exists := s.Sizes[first]; !exists || n < blk+1 {
		s.resize(first, blk+1)
	}
	s.set(k, p)
}

func (s *State) set(k core.Key, p *redo.Page) {
	s.past.changed(k, s.Pages[k], p)
	s.Pages[k] = p
}

func (s *State) unset(k core.Key) {
	if old := s.Pages[k]; old != nil {
		s.past.changed(k, old, nil)
		delete(s.Pages, k)
	}
}

func (s *State) resize(first core.Key, n uint32) {
	s.past.resized(first, n, true)
	s.Sizes[first] = n
}

// remove forgets a fork or segment that has no blocks any more.
func (s *State) remove(first core.Key) {
	s.past.resized(first, 0, false)
	delete(s.Sizes, first)
}

func (s *State) effect(e *redo.Effect) error {
	switch e.Kind {
	case redo.PatchPage:
		return s.patch(e)
	case redo.SLRUTruncate:
		for _, first := range s.firsts() {
			if f1, u, _, seg, _, _ := first.Fields(); f1 == 1 && core.SLRU(u) == e.SLRU && e.DropsSegment(seg) {
				s.drop(first)
			}
		}
	case redo.RelCreate:
		if first := core.BlockKey(e.Rel, 0); e.Rel.Fork != core.FSMFork {
			s.resize(first, s.Sizes[first])
		}
	case redo.RelTruncate:
		if first := core.BlockKey(e.Rel, 0); s.Sizes[first] > e.Blocks {
			s.cut(first, e.Blocks)
		}
	case redo.RelDrop:
		for fork := core.MainFork; fork <= core.InitFork; fork++ {
			e.Rel.Fork = fork
			s.drop(core.BlockKey(e.Rel, 0))
		}
	case redo.DBDrop:
		s.dropDB(e.Rel)
	case redo.DBCopy:
		s.dropDB(e.Rel)
		s.copyDB(e.From, e.Rel)
	}
	return nil
}

func (s *State) patch(e *redo.Effect) error {
	first := e.Key
	_, _, _, _, _, blk := first.Fields()
	clear(first[14:])
	if _, _, rel := core.BlockOfKey(e.Key); rel && blk >= s.Sizes[first] {
		return nil
	}
	p := s.copyOf(first, e.Key, blk)
	if err := e.Patch.Apply(p); err != nil {
		return err
	}
	s.put(first, e.Key, blk, p)
	return nil
}

// cut forgets the blocks from n on.
func (s *State) cut(first core.Key, n uint32) {
	for blk := n; blk < s.Sizes[first]; blk++ {
		f1, f2, f3, f4, f5, _ := first.Fields()
		s.unset(core.MakeKey(f1, f2, f3, f4, f5, blk))
	}
	s.resize(first, n)
}

func (s *State) drop(first core.Key) {
	if _, exists := s.Sizes[first]; exists {
		s.cut(first, 0)
		s.remove(first)
	}
}

// firsts is the keys of Sizes, sorted.
func (s *State) firsts() []core.Key { return slices.SortedFunc(maps.Keys(s.Sizes), core.Key.Compare) }

func (s *State) inDB(d core.Rel) (firsts []core.Key) {
	for _, first := range s.firsts() {
		if r, _, ok := core.BlockOfKey(first); ok && r.Spc == d.Spc && r.DB == d.DB {
			firsts = append(firsts, first)
		}
	}
	return firsts
}

func (s *State) dropDB(d core.Rel) {
	for _, first := range s.inDB(d) {
		s.drop(first)
	}
}

func (s *State) copyDB(from, to core.Rel) {
	for _, first := range s.inDB(from) {
		src, _, _ := core.BlockOfKey(first)
		dst := src
		dst.Spc, dst.DB = to.Spc, to.DB
		s.resize(core.BlockKey(dst, 0), s.Sizes[first])
		for blk := range s.Sizes[first] {
			if s.Pages[core.BlockKey(src, blk)] != nil {
				s.set(core.BlockKey(dst, blk), s.copyOf(first, core.BlockKey(src, blk), blk))
			}
		}
	}
}
