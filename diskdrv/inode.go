package diskdrv

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// An inode is a file or a directory. shown is what the running system sees,
// durable what the device holds; the pending changes lie between them, in the
// order they were made.
type inode struct {
	id      uint64
	dir     bool
	links   int // names in the shown tree
	handles int // open files

	shown   image
	durable image
	pending []change

	names        map[string]*inode // of a directory, as shown
	durableNames map[string]*inode
	pendingNames []*nameChange

	failSync bool    // the next sync fails
	rotten   []int64 // offsets of bytes that changed by themselves
	bad      []int64 // offsets of sectors that cannot be read
}

// A changeKind is what a change does to an image.
type changeKind uint8

const (
	changeBytes   changeKind = iota // bytes are overwritten
	changeGrow                      // the size becomes at least size
	changeCut                       // the file is truncated to size
	changeReserve                   // holes in [off, size) become zeros

	changeName changeKind = 255 // a change of a directory
)

// A change is one thing done to a file since its last sync.
type change struct {
	kind changeKind
	seq  uint64 // order over the whole disk
	off  int64
	size int64
	// The bytes of a write are those before the first whole page, the whole
	// pages, and those behind them.
	head  []byte
	pages []*page
	tail  []byte
}

// written is the change that a write makes; it keeps nothing of p.
func written(seq uint64, p []byte, off int64) change {
	c := change{kind: changeBytes, seq: seq, off: off}
	head := min(len(p), int((pageSize-off%pageSize)%pageSize))
	tail := (len(p) - head) % pageSize
	edges := make([]byte, 0, head+tail)
	edges = append(append(edges, p[:head]...), p[len(p)-tail:]...)
	c.head, c.tail = edges[:head], edges[head:]
	for p = p[head : len(p)-tail]; len(p) > 0; p = p[pageSize:] {
		c.pages = append(c.pages, sharedPage(p[:pageSize]))
	}
	return c
}

// len is how many bytes a write has.
func (c *change) len() int { return len(c.head) + len(c.pages)*pageSize + len(c.tail) }

// write puts the bytes of a write into an image, and tells how many pages of it
// were holes.
func (c *change) write(m *image) (taken int) {
	taken = m.write(c.head, c.off)
	off := c.off + int64(len(c.head))
	for _, p := range c.pages {
		taken += m.share(off/pageSize, p)
		off += pageSize
	}
	return taken + m.write(c.tail, off)
}

func (c *change) apply(m *image) {
	switch c.kind {
	case changeBytes:
		c.write(m)
	case changeGrow:
		m.size = max(m.size, c.size)
	case changeCut:
		m.truncate(c.size)
	case changeReserve:
		m.reserve(c.off, c.size)
	}
}

// A nameChange is one thing done to a directory since its last sync.
type nameChange struct {
	seq  uint64
	in   *inode // the directory
	name string
	to   *inode // nil if the name was removed
	// after is the new name of a renamed file: its old name is never gone
	// from the device before the new one is there.
	after *nameChange
	// with is the other half of a renamed directory: both or neither.
	with *nameChange
	done bool // it is durable
}

// commit makes c durable, and what it must not come before.
func (c *nameChange) commit() {
	if c.done {
		return
	}
	c.done = true
	// What was done to the same name before it comes first, lest a later sync
	// of this directory takes the name back to it.
	for _, earlier := range c.in.pendingNames {
		if earlier.name == c.name && earlier.seq < c.seq {
			earlier.commit()
		}
	}
	if c.after != nil {
		c.after.commit()
	}
	if c.with != nil {
		c.with.commit()
	}
	if c.to == nil {
		delete(c.in.durableNames, c.name)
	} else {
		c.in.durableNames[c.name] = c.to
	}
}

// sortedNames lists a directory.
func (n *inode) sortedNames() []string { return slices.Sorted(maps.Keys(n.names)) }

// lookup finds a path in the shown tree.
func (d *Disk) lookup(name string) (*inode, error) {
	return find(d.root, name, func(n *inode) map[string]*inode { return n.names })
}

// lookupDurable finds a path as a crash that keeps no pending change leaves it.
func (d *Disk) lookupDurable(name string) (*inode, error) {
	return find(d.root, name, func(n *inode) map[string]*inode { return n.durableNames })
}

func find(root *inode, name string, names func(*inode) map[string]*inode) (*inode, error) {
	if !fs.ValidPath(name) {
		return nil, errBadPath
	}
	at := root
	for more := name != "."; more; {
		var part string
		part, name, more = strings.Cut(name, "/")
		if !at.dir {
			return nil, errNotDir
		}
		if at = names(at)[part]; at == nil {
			return nil, fs.ErrNotExist
		}
	}
	return at, nil
}
