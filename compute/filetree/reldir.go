package filetree

import (
	"context"
	"iter"

	"xenon/compute/names"
	"xenon/compute/overlay"
	"xenon/compute/vfs"
	"xenon/core"
	"xenon/core/faults"
	"xenon/core/pageserver/bootset"
	"xenon/core/xsync"
)

// A relDir is a directory of relations as it was in the timeline when the
// server started.
type relDir struct {
	bootset.Database

	loading xsync.Mutex // guards what follows; held while the list is fetched
	rels    []forkAt    // nil until loaded, in the source's order
	index   map[forkID]int
}

type forkID struct {
	node core.OID
	fork core.Fork
}

// A forkAt is a fork that the server sees, and where its pages are.
type forkAt struct {
	forkID
	from   core.Fork // the fork whose pages it has
	blocks uint32
}

// load fetches the list of relations, once. An error is not remembered.
func (d *relDir) load(ctx context.Context, src Source) error {
	d.loading.Lock()
	defer d.loading.Unlock()
	if d.index != nil {
		return nil
	}
	rels, err := src.Relations(ctx, d.Database)
	if err != nil {
		return err
	}
	d.rels, d.index = visible(rels)
	return nil
}

// visible is what a server that starts sees of the forks of a timeline. An
// unlogged relation has an init fork, and begins as a copy of it: a server
// that was shut down cleanly does not make that copy itself, and would not
// find the file. Nothing else of it outlives a server. The free space map is
// not kept by the timeline: it mends itself.
func visible(rels []bootset.Relation) ([]forkAt, map[forkID]int) {
	unlogged := map[core.OID]bool{}
	for _, r := range rels {
		if r.Rel.Fork == core.InitFork && !(faults.On && faults.Hit(faults.UnloggedFromBase)) {
			unlogged[r.Rel.Node] = true
		}
	}
	var list []forkAt
	index := map[forkID]int{}
	add := func(f forkAt) {
		if _, twice := index[f.forkID]; !twice {
			index[f.forkID] = len(list)
			list = append(list, f)
		}
	}
	for _, r := range rels {
		id := forkID{r.Rel.Node, r.Rel.Fork}
		switch {
		case id.fork == core.FSMFork:
		case id.fork == core.InitFork:
			add(forkAt{id, core.InitFork, r.Blocks})
			if unlogged[id.node] {
				add(forkAt{forkID{id.node, core.MainFork}, core.InitFork, r.Blocks})
			}
		case !unlogged[id.node]:
			add(forkAt{id, id.fork, r.Blocks})
		}
	}
	return list, index
}

// A FileAt is one file of a relation as a server that starts sees it: which
// blocks of which fork of the timeline it holds.
type FileAt struct {
	RelFile
	Rel    core.Rel
	First  uint32 // block of the fork at which the file begins
	Blocks uint32
}

// Files are the files of a directory of relations, in the order of rels: what
// [Tree] shows before the server has written anything.
func Files(rels []bootset.Relation) []FileAt {
	var spc, db core.OID
	if len(rels) > 0 {
		spc, db = rels[0].Rel.Spc, rels[0].Rel.DB
	}
	var all []FileAt
	seen, _ := visible(rels)
	for _, r := range seen {
		for seg := uint32(0); ; seg++ {
			n, ok := segmentBlocks(r.blocks, seg)
			if !ok {
				break
			}
			all = append(all, FileAt{
				RelFile: RelFile{r.node, r.fork, seg}, Rel: core.Rel{Spc: spc, DB: db, Node: r.node, Fork: r.from},
				First: seg * SegmentBlocks, Blocks: n,
			})
		}
	}
	return all
}

// segmentBlocks is how many of a fork's blocks are in its segment seg; ok is
// false if the fork has no such file.
func segmentBlocks(blocks, seg uint32) (n uint32, ok bool) {
	start := uint64(seg) * SegmentBlocks
	if seg > 0 && uint64(blocks) <= start {
		return 0, false
	}
	return uint32(min(uint64(blocks)-start, SegmentBlocks)), true
}

// find is what lies below a file.
func (d *relDir) find(src Source, f RelFile) (overlay.Base, uint32, bool) {
	d.loading.Lock()
	i, ok := d.index[forkID{f.Node, f.Fork}]
	if !ok {
		d.loading.Unlock()
		return nil, 0, false
	}
	at := d.rels[i]
	d.loading.Unlock()
	blocks, ok := segmentBlocks(at.blocks, f.Segment)
	if !ok {
		return nil, 0, false
	}
	rel := core.Rel{Spc: d.Spc, DB: d.DB, Node: at.node, Fork: at.from}
	return relBase{src, rel, f.Segment * SegmentBlocks}, blocks, true
}

// names are the files of all relations.
func (d *relDir) names() iter.Seq[string] {
	d.loading.Lock()
	rels := d.rels
	d.loading.Unlock()
	return func(yield func(string) bool) {
		for _, r := range rels {
			for seg := uint32(0); ; seg++ {
				if _, ok := segmentBlocks(r.blocks, seg); !ok {
					break
				}
				if !yield((RelFile{r.node, r.fork, seg}).String()) {
					return
				}
			}
		}
	}
}

// overlayNames puts what the server did to a directory over what the timeline
// has there.
func (t *Tree) overlayNames(d *names.Node, all map[string]vfs.DirEntry) {
	known := t.Names(d)
	for name, n := range known {
		switch {
		case n != nil:
			all[name] = vfs.DirEntry{Name: name, Kind: n.Kind, Node: n.ID}
		case faults.On && faults.Hit(faults.DropForgotten):
		default:
			delete(all, name)
		}
	}
}
