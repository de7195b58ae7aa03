package describe

import (
	"fmt"
	"strings"

	"xenon/core"
	"xenon/core/wal"
)

// A page is one page of a relation.
type page = [core.PageSize]byte

const (
	infomask2 = "{|||||||||||||KEYS_UPDATED|HOT_UPDATED|ONLY_TUPLE}"
	infomask  = "{HASNULL|HASVARWIDTH|HASEXTERNAL|HASOID|XMAX_KEYSHR_LOCK|COMBOCID|XMAX_EXCL_LOCK|XMAX_LOCK_ONLY|XMIN_COMMITTED|" +
		"XMIN_INVALID|XMAX_COMMITTED|XMAX_INVALID|XMAX_IS_MULTI|UPDATED|MOVED_OFF|MOVED_IN}"

	headerSize = 24 // SizeOfPageHeaderData
	linpSize   = 4
)

// The layouts of pages (src/include/storage/bufpage.h, access/htup_details.h,
// itup.h, nbtree.h, hash.h, ginblock.h, gist.h, spgist_private.h, brin_page.h,
// brin_tuple.h, commands/sequence.c).
var (
	pageHeader = parse("pd_lsn:pagelsn pd_checksum:u16 pd_flags:f16{HAS_FREE_LINES|PAGE_FULL|ALL_VISIBLE} pd_lower:u16 pd_upper:u16 " +
		"pd_special:u16 pd_pagesize_version:u16 pd_prune_xid:xid")

	heapTuple  = parse("t_xmin:xid t_xmax:xid t_cid:u32 t_ctid:tid t_infomask2:f16" + infomask2 + " t_infomask:f16" + infomask + " t_hoff:u8")
	indexTuple = parse("t_tid:tid t_info:f16{|||||||||||||AM_RESERVED|HASVARWIDTH|HASNULL}")
	brinTuple  = parse("bt_blkno:u32 bt_info:f8{|||||EMPTY_RANGE|PLACEHOLDER|HASNULLS}")
	// A leaf tuple of SP-GiST; size and state share the first four bytes, whose
	// low two bits are the state: live, redirect, dead, placeholder.
	spgLeaf  = parse("tupstate_size:u32 t_info:u16 heapPtr:tid")
	spgInner = parse("tupstate_nNodes_prefixSize:u32 size:u16")

	btreeOpaque = parse("btpo_prev:u32 btpo_next:u32 btpo_level:u32 btpo_flags:f16" +
		"{LEAF|ROOT|DELETED|META|HALF_DEAD|SPLIT_END|HAS_GARBAGE|INCOMPLETE_SPLIT|HAS_FULLXID} btpo_cycleid:u16")
	hashOpaque = parse("hasho_prevblkno:u32 hasho_nextblkno:u32 hasho_bucket:u32 hasho_flag:f16" +
		"{OVERFLOW|BUCKET|BITMAP|META|BEING_POPULATED|BEING_SPLIT|NEEDS_SPLIT_CLEANUP|HAS_DEAD_TUPLES} hasho_page_id:u16")
	ginOpaque    = parse("rightlink:u32 maxoff:u16 flags:f16{DATA|LEAF|DELETED|META|LIST|LIST_FULLROW|INCOMPLETE_SPLIT|COMPRESSED}")
	gistOpaque   = parse("nsn:pagelsn rightlink:u32 flags:f16{LEAF|DELETED|TUPLES_DELETED|FOLLOW_RIGHT|HAS_GARBAGE} gist_page_id:u16")
	spgOpaque    = parse("flags:f16{META|DELETED|LEAF|NULLS} nRedirection:u16 nPlaceholder:u16 spgist_page_id:u16")
	brinOpaque   = parse("pad:pad4 flags:f16{EVACUATE_PAGE} type:u16")
	seqOpaque    = parse("magic:u32 pad:pad4")
	bloomOpaque  = parse("maxoff:u16 flags:f16{META|DELETED} unused:u16 bloom_page_id:u16")
	btreeMetaPg  = parse("btm_magic:u32 btm_version:u32 btm_root:u32 btm_level:u32 btm_fastroot:u32 btm_fastlevel:u32 btm_last_cleanup_num_delpages:u32 btm_last_cleanup_num_heap_tuples:f64 btm_allequalimage:bool")
	hashMetaPg   = parse("hashm_magic:u32 hashm_version:u32 hashm_ntuples:f64 hashm_ffactor:u16 hashm_bsize:u16 hashm_bmsize:u16 hashm_bmshift:u16 hashm_maxbucket:u32 hashm_highmask:u32 hashm_lowmask:u32 hashm_ovflpoint:u32 hashm_firstfree:u32 hashm_nmaps:u32 hashm_procid:u32")
	ginMetaPg    = parse(ginMeta)
	brinMetaPg   = parse("brinMagic:u32 brinVersion:u32 pagesPerRange:u32 lastRevmapPage:u32")
	spgMetaPg    = parse("magicNumber:u32 lastUsedPages0:u32 freeSpace0:i32")
	ginDataBound = parse("rightBound:tid")
)

// A view is how a page is to be read.
type view struct {
	opaque layout // of the special space
	meta   layout // of the content, if that is not items
	items  layout // of each item
	raw    bool   // the content is neither: bitmaps, posting lists, maps
}

// viewOf chooses the layouts for a page of a manager.
func viewOf(p *page, id wal.RmgrID, fork core.Fork) view {
	if fork == core.VMFork || fork == core.FSMFork {
		return view{raw: true}
	}
	switch id {
	case wal.RmgrHeap, wal.RmgrHeap2:
		return view{items: heapTuple}
	case wal.RmgrSeq:
		return view{opaque: seqOpaque, items: heapTuple}
	case wal.RmgrBtree:
		return metaOr(p, view{opaque: btreeOpaque, items: indexTuple}, 12, 1<<3, btreeMetaPg)
	case wal.RmgrHash:
		v := metaOr(p, view{opaque: hashOpaque, items: indexTuple}, 12, 1<<3, hashMetaPg)
		v.raw = v.meta == nil && specialU16(p, 12)&(1<<2) != 0
		return v
	case wal.RmgrGin:
		v := metaOr(p, view{opaque: ginOpaque, items: indexTuple}, 6, 1<<3, ginMetaPg)
		if v.meta == nil && specialU16(p, 6)&1 != 0 {
			v.meta, v.raw = ginDataBound, true
		}
		return v
	case wal.RmgrGist:
		return view{opaque: gistOpaque, items: indexTuple}
	case wal.RmgrSPGist:
		v := metaOr(p, view{opaque: spgOpaque, items: spgInner}, 0, 1<<0, spgMetaPg)
		if specialU16(p, 0)&(1<<2) != 0 {
			v.items = spgLeaf
		}
		return v
	case wal.RmgrBrin:
		return viewOfBrin(p)
	case wal.RmgrGeneric:
		return view{opaque: bloomOpaque, raw: true}
	}
	return view{raw: true}
}

// metaOr makes v one of a meta page if the flags in the special space say so.
func metaOr(p *page, v view, off int, flag int, meta layout) view {
	if specialU16(p, off)&flag != 0 {
		v.meta, v.items = meta, nil
	}
	return v
}

func viewOfBrin(p *page) view {
	v := view{opaque: brinOpaque, items: brinTuple}
	switch specialU16(p, 6) {
	case 0xF091: // BRIN_PAGETYPE_META
		v.meta, v.items = brinMetaPg, nil
	case 0xF092: // BRIN_PAGETYPE_REVMAP
		v.raw, v.items = true, nil
	}
	return v
}

func lower(p *page) int { return u16(p[:], 12) }
func upper(p *page) int { return u16(p[:], 14) }

// special is where the special space begins, the end of the page if the header
// makes no sense.
func special(p *page) int {
	if s := u16(p[:], 16); s >= headerSize && s <= core.PageSize {
		return s
	}
	return core.PageSize
}

// specialU16 is a number in the special space, 0 if it does not reach so far.
func specialU16(p *page, off int) int {
	if at := special(p) + off; at+2 <= core.PageSize {
		return u16(p[:], at)
	}
	return 0
}

// A linp is a line pointer with its number.
type linp struct {
	n               int
	off, flags, len int
}

// lines yields the line pointers of a page.
func lines(p *page, yield func(linp) bool) {
	for n := 1; headerSize+n*linpSize <= min(lower(p), core.PageSize); n++ {
		v := u32(p[:], headerSize+(n-1)*linpSize)
		if !yield(linp{n, int(v & 0x7FFF), int(v >> 15 & 3), int(v >> 17)}) {
			return
		}
	}
}

// item is the bytes of an item, nil if it has none within the page.
func (l linp) item(p *page) []byte {
	if l.len == 0 || l.off < headerSize || l.off+l.len > core.PageSize {
		return nil
	}
	return p[l.off : l.off+l.len]
}

var linpFlags = [...]string{"UNUSED", "NORMAL", "REDIRECT", "DEAD"}

// Page is the structure of a page of a manager (the one whose layout it has) as
// text, one line for each part: header, special space, meta data, items.
func Page(p *page, id wal.RmgrID, fork core.Fork) string {
	if upper(p) == 0 {
		return "a page that was never initialised\n"
	}
	var b strings.Builder
	w := &writer{}
	part := func(name string, l layout, at int) {
		if len(l) == 0 || at+l.size() > core.PageSize {
			return
		}
		w.b = w.b[:0]
		l.describe(w, p[at:at+l.size()])
		fmt.Fprintf(&b, "%-8s %s\n", name, w.b)
	}
	v := viewOf(p, id, fork)
	part("header", pageHeader, 0)
	part("special", v.opaque, special(p))
	part("meta", v.meta, headerSize)
	if v.meta != nil || v.raw {
		return b.String()
	}
	lines(p, func(l linp) bool {
		w.b = w.b[:0]
		if it := l.item(p); it != nil && len(v.items) > 0 && len(it) >= v.items.size() {
			v.items.describe(w, it)
		}
		fmt.Fprintf(&b, "%-8s lp_off=%d lp_flags=%s lp_len=%d %s\n", fmt.Sprintf("item %d", l.n), l.off, linpFlags[l.flags], l.len, w.b)
		return true
	})
	return b.String()
}
