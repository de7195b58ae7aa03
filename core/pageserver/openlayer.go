package pageserver

import (
	"encoding/binary"
	"sort"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/layer"
)

// A version is one version of a page: what its record or patch made of the
// version before.
type version struct {
	lsn core.LSN // end of the record
	ref ref
}

// A ref says where an entry of an open layer is and what it holds: 4 bits of
// kind, 28 of chunk, 32 of offset.
type ref uint64

const (
	offBits   = 32
	chunkBits = 28
)

func makeRef(k layer.Kind, chunk, off int) ref {
	return ref(k)<<(chunkBits+offBits) | ref(chunk)<<offBits | ref(off)
}

func (r ref) kind() layer.Kind { return layer.Kind(r >> (chunkBits + offBits)) }
func (r ref) chunk() int       { return int(r >> offBits & (1<<chunkBits - 1)) }
func (r ref) off() int         { return int(r & (1<<offBits - 1)) }

// as is the same entry read as another kind: a record that makes one page from
// nothing may change another.
func (r ref) as(k layer.Kind) ref { return makeRef(k, r.chunk(), r.off()) }

// entryHead is the length of the payload and the LSN at which the record
// begins, 0 if the entry is none.
const entryHead = 4 + 8

const (
	// chunkMin and chunkMax bound the pieces in which an open layer takes
	// memory: small ones first, so that a timeline with little to say costs
	// little.
	chunkMin = 4 << 10
	chunkMax = 1 << 20

	// historyCost and versionCost are what the index of an open layer takes,
	// about: for a page, its place in the map and its history; for a version,
	// its place in that and what append leaves free.
	historyCost = 128
	versionCost = 24
)

// A history is the versions that an open layer has of one page, ascending by
// LSN.
type history struct {
	versions []version
	few      [2]version // what most pages need
}

// upTo is how many versions lie at or below lsn.
func (h *history) upTo(lsn core.LSN) int {
	vs := h.versions
	return sort.Search(len(vs), func(i int) bool { return vs[i].lsn > lsn })
}

// An openLayer is what was ingested since the last flush: versions of pages
// and their bytes. The timeline's mutex guards it while ingest adds to it;
// frozen, it does not change any more, and whoever has it reads it.
type openLayer struct {
	pages   map[core.Key]*history
	chunks  [][]byte // bytes once written do not change
	size    int64    // bytes of memory, about
	counted int64    // what of it the node's memory knows
}

// put stores an entry. The payload is copied.
func (l *openLayer) put(k layer.Kind, start core.LSN, payload []byte) ref {
	n := entryHead + len(payload)
	last := len(l.chunks) - 1
	if last < 0 || cap(l.chunks[last])-len(l.chunks[last]) < n {
		grown := chunkMin
		if last >= 0 {
			grown = min(max(2*cap(l.chunks[last]), chunkMin), chunkMax)
		}
		// An entry longer than a chunk gets one of its own size.
		l.chunks = append(l.chunks, make([]byte, 0, max(grown, n)))
		last++
		l.size += int64(cap(l.chunks[last]))
	}
	c := l.chunks[last]
	off := len(c)
	c = binary.LittleEndian.AppendUint32(c, uint32(len(payload)))
	c = binary.LittleEndian.AppendUint64(c, uint64(start))
	l.chunks[last] = append(c, payload...)
	return makeRef(k, last, off)
}

// value is an entry; its data must not be changed and stays valid.
func (l *openLayer) value(r ref) layer.Value {
	v := layer.Value{Kind: r.kind()}
	b := l.chunks[r.chunk()][r.off():]
	n := binary.LittleEndian.Uint32(b)
	v.Data = b[entryHead : entryHead+n : entryHead+n]
	if v.Kind == layer.KindRecord || v.Kind == layer.KindRecordInit {
		v.Start = core.LSN(binary.LittleEndian.Uint64(b[4:]))
	}
	return v
}

// add notes a version of a page. LSNs go up.
func (l *openLayer) add(k core.Key, v version) {
	h := l.pages[k]
	if h == nil {
		if l.pages == nil {
			l.pages = map[core.Key]*history{}
		}
		h = new(history)
		h.versions = h.few[:0]
		l.pages[k] = h
		l.size += historyCost
	}
	if n := len(h.versions); n > 0 && h.versions[n-1].lsn >= v.lsn {
		core.Must(false, "version of %s at %s after %s", k, v.lsn, h.versions[n-1].lsn)
	}
	h.versions = append(h.versions, v)
	l.size += versionCost
}

// chain calls take for the versions of a page in (floor, lsn] that make it, the
// newest first, down to one that needs no older one; then it returns true.
func (l *openLayer) chain(k core.Key, floor, lsn core.LSN, take func(layer.Version)) (whole bool) {
	h := l.pages[k]
	if h == nil {
		return false
	}
	n := h.upTo(lsn)
	if faults.On && n < len(h.versions) && faults.Hit(faults.NewerPage) {
		n++
	}
	for n--; n >= 0 && h.versions[n].lsn > floor; n-- {
		v := h.versions[n]
		take(layer.Version{LSN: v.lsn, Value: l.value(v.ref)})
		if v.ref.kind().Init() {
			return true
		}
	}
	return false
}
