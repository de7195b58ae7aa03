package describe

import (
	"fmt"

	"xenon/core"
	"xenon/core/wal"
)

// A Difference is one field, or one byte that belongs to none, in which two
// pages differ.
type Difference struct {
	Field string `json:"field"` // by its PostgreSQL name, with its item: item 7 t_infomask
	At    int    `json:"at"`    // of the first byte that differs
	Got   string `json:"got"`   // in words if the field has any, else in hexadecimal
	Want  string `json:"want"`
}

// String has the place, and both sides as bytes as far as they fit a line.
func (d Difference) String() string {
	return fmt.Sprintf("%s (byte %d): got %s, want %s", d.Field, d.At, d.Got, d.Want)
}

// FirstDifference is the first field in which two pages differ, read by the
// layout of got; ok is false if they are equal.
func FirstDifference(got, want *page, id wal.RmgrID) (d Difference, ok bool) {
	for _, d := range Differences(got, want, id, 1) {
		return d, true
	}
	return d, false
}

// Differences are up to limit fields in which two pages differ, in the order of
// their bytes (0: all of them). The layout is read from got. Neighbouring bytes
// of no field make one difference.
func Differences(got, want *page, id wal.RmgrID, limit int) (list []Difference) {
	v := viewOf(got, id, core.MainFork)
	for at := 0; at < core.PageSize; {
		if got[at] == want[at] {
			at++
			continue
		}
		p := v.place(got, at)
		d := Difference{Field: p.name, At: at}
		end := p.start + p.len
		switch {
		case p.linp:
			d.Got, d.Want = linpWords(got[p.start:end]), linpWords(want[p.start:end])
		case p.field != nil:
			f := *p.field
			f.off = p.start
			d.Got, d.Want = f.value(got[:]), f.value(want[:])
		default:
			end = at
			for end < p.start+p.len && got[end] != want[end] {
				end++
			}
		}
		if d.Got == d.Want { // bytes of no field, or words that hide the difference
			d.Got, d.Want = hexBytes(got[at:end]), hexBytes(want[at:end])
		}
		at = end
		if list = append(list, d); len(list) == limit {
			break
		}
	}
	return list
}

func hexBytes(b []byte) string {
	const shown = 16
	if len(b) > shown {
		return fmt.Sprintf("% x … (%d bytes)", b[:shown], len(b))
	}
	return fmt.Sprintf("% x", b)
}

// A place is what a byte of a page belongs to.
type place struct {
	name       string
	start, len int
	field      *field // nil if it is a range of bytes without a layout
	linp       bool   // it is a line pointer
}

// of is the field of a layout that begins at base.
func (l layout) of(base, at int, prefix string) (place, bool) {
	if f, ok := l.at(at - base); ok && base+f.off+f.len <= core.PageSize {
		return place{prefix + f.name, base + f.off, f.len, &f, false}, true
	}
	return place{}, false
}

// linpWords is a line pointer in words.
func linpWords(b []byte) string {
	v := u32(b, 0)
	return fmt.Sprintf("lp_off=%d lp_flags=%s lp_len=%d", v&0x7FFF, linpFlags[v>>15&3], v>>17)
}

// place tells what the byte at belongs to. Ranges begin at the byte itself.
func (v view) place(p *page, at int) place {
	rest := func(name string, end int) place { return place{name, at, max(1, end-at), nil, false} }
	if at < headerSize {
		got, _ := pageHeader.of(0, at, "")
		return got
	}
	if s := special(p); at >= s {
		if got, ok := v.opaque.of(s, at, ""); ok {
			return got
		}
		return rest("special space", core.PageSize)
	}
	if v.meta != nil {
		if got, ok := v.meta.of(headerSize, at, ""); ok {
			return got
		}
	}
	lo, hi := lower(p), upper(p)
	switch {
	case v.raw || v.meta != nil:
		return rest("content", special(p))
	case at < lo:
		n := (at-headerSize)/linpSize + 1
		return place{fmt.Sprintf("pd_linp[%d]", n), headerSize + (n-1)*linpSize, linpSize, nil, true}
	case at < hi:
		return rest("hole", hi)
	}
	return v.placeInItem(p, at)
}

// placeInItem tells which item the byte is in.
func (v view) placeInItem(p *page, at int) place {
	found := place{"no item", at, 1, nil, false}
	lines(p, func(l linp) bool {
		end := l.off + l.len
		if l.len == 0 || at < l.off || at >= (end+7)&^7 {
			return true
		}
		name := fmt.Sprintf("item %d ", l.n)
		if at >= end {
			found = place{name + "padding", at, (end+7)&^7 - at, nil, false}
		} else if got, ok := v.items.of(l.off, at, name); ok && len(v.items) > 0 && l.len >= v.items.size() {
			found = got
		} else {
			found = place{fmt.Sprintf("%sdata+%d", name, at-l.off), at, end - at, nil, false}
		}
		return false
	})
	found.len = min(found.len, core.PageSize-found.start)
	return found
}
