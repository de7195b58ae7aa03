package redo

import (
	"fmt"

	"xenon/core"
	"xenon/core/wal"
)

// Diff names the first field, by its PostgreSQL name, in which two pages
// differ, with both values; it is empty if they are equal. The layout is read
// from got.
func Diff(got, want *Page, id wal.RmgrID) string {
	at := 0
	for at < core.PageSize && got[at] == want[at] {
		at++
	}
	if at == core.PageSize {
		return ""
	}
	name, start, size := fieldAt(got, id, at)
	return fmt.Sprintf("%s (byte %d): got % x, want % x", name, at, got[start:start+size], want[start:start+size])
}

// A field is a named range of bytes.
type field struct {
	name     string
	off, len int
}

var headerFields = []field{
	{"pd_lsn", 0, 8}, {"pd_checksum", 8, 2}, {"pd_flags", 10, 2}, {"pd_lower", 12, 2}, {"pd_upper", 14, 2},
	{"pd_special", 16, 2}, {"pd_pagesize_version", 18, 2}, {"pd_prune_xid", 20, 4},
}

var heapFields = []field{
	{"t_xmin", 0, 4}, {"t_xmax", 4, 4}, {"t_cid", 8, 4}, {"t_ctid", 12, 6},
	{"t_infomask2", 18, 2}, {"t_infomask", 20, 2}, {"t_hoff", 22, 1},
}

var indexFields = []field{{"t_tid", 0, 6}, {"t_info", 6, 2}}

var btreeFields = []field{
	{"btpo_prev", 0, 4}, {"btpo_next", 4, 4}, {"btpo_level", 8, 4}, {"btpo_flags", 12, 2}, {"btpo_cycleid", 14, 2},
}

// fieldAt names the field that byte at of a page belongs to, and where it is.
func fieldAt(p *Page, id wal.RmgrID, at int) (name string, start, size int) {
	if name, start, size, ok := find(headerFields, 0, at); ok {
		return name, start, size
	}
	if at < lower(p) {
		n := (at - headerSize) / itemSize
		return fmt.Sprintf("pd_linp[%d]", n+1), headerSize + n*itemSize, itemSize
	}
	if at >= special(p) {
		if id == wal.RmgrBtree {
			if name, start, size, ok := find(btreeFields, special(p), at); ok {
				return name, start, size
			}
		}
		return "special space", at, 1
	}
	if at < upper(p) {
		return "hole", at, 1
	}
	return itemField(p, id, at)
}

// itemField names the field of the item that holds the byte.
func itemField(p *Page, id wal.RmgrID, at int) (name string, start, size int) {
	fields := indexFields
	if id == wal.RmgrHeap || id == wal.RmgrHeap2 {
		fields = heapFields
	}
	for n := 1; n <= maxOffset(p) && headerSize+n*itemSize <= core.PageSize; n++ {
		it := itemAt(p, n)
		if !it.hasStorage() || at < it.off() || at >= it.off()+maxAlign(it.len()) {
			continue
		}
		if name, start, size, ok := find(fields, it.off(), at); ok && start+size <= core.PageSize {
			return fmt.Sprintf("item %d %s", n, name), start, size
		}
		if at >= it.off()+it.len() {
			return fmt.Sprintf("item %d padding", n), at, 1
		}
		return fmt.Sprintf("item %d data+%d", n, at-it.off()), at, 1
	}
	return "no item", at, 1
}

func find(fields []field, base, at int) (name string, start, size int, ok bool) {
	for _, f := range fields {
		if at >= base+f.off && at < base+f.off+f.len {
			return f.name, base + f.off, f.len, true
		}
	}
	return "", 0, 0, false
}
