package describe

import (
	"xenon/core/wal"
)

// list writes an array of what f writes for each of n elements of size bytes
// that b is long enough for; it returns what is left.
func (w *writer) list(name string, b []byte, n, size int, f func(w *writer, b []byte)) []byte {
	if n < 0 || n > len(b)/max(size, 1) {
		w.text("error", name+" cut short")
		n = len(b) / size
	}
	shown := n
	if !w.json && n > maxShown/size {
		shown = max(1, maxShown/size)
	}
	w.key(name)
	w.begin('[')
	for i := range shown {
		w.sep()
		f(w, b[i*size:(i+1)*size])
	}
	if n > shown {
		w.str(" … ")
		w.uint(uint64(n - shown))
		w.str(" more")
	}
	w.end(']')
	return b[n*size:]
}

// maxShown is how many bytes of a list a line of text shows; JSON has all.
const maxShown = 64

func putU16(w *writer, b []byte) { w.uint(uint64(u16(b, 0))) }
func putU32(w *writer, b []byte) { w.uint(uint64(u32(b, 0))) }

// pair is two offset numbers: from->to, or an array in JSON.
func pair(w *writer, b []byte) {
	if w.json {
		w.begin('[')
		w.uint(uint64(u16(b, 0)))
		w.sep()
		w.uint(uint64(u16(b, 2)))
		w.end(']')
		return
	}
	w.uint(uint64(u16(b, 0)))
	w.str("->")
	w.uint(uint64(u16(b, 2)))
}

func u16List(name string) tail {
	return func(w *writer, _ *wal.Record, rest []byte) {
		if len(rest) >= 2 {
			w.list(name, rest, len(rest)/2, 2, putU16)
		}
	}
}

func u32List(name string) tail {
	return func(w *writer, _ *wal.Record, rest []byte) { w.list(name, rest, len(rest)/4, 4, putU32) }
}

func textTail(name string) tail {
	return func(w *writer, _ *wal.Record, rest []byte) { w.text(name, cString(rest)) }
}

// data is what the record keeps for a block; it is left out where there is an
// image to restore.
func data(rec *wal.Record, id uint8) []byte {
	if b := rec.Block(id); b != nil {
		return b.Data
	}
	return nil
}

// blockOffsets are offset numbers in the data of block 0.
func blockOffsets(name string) tail {
	return func(w *writer, rec *wal.Record, _ []byte) {
		if d := data(rec, 0); len(d) > 0 {
			w.list(name, d, len(d)/2, 2, putU16)
		}
	}
}

// standbyLock is xl_standby_lock; the mode is always AccessExclusiveLock.
var standbyLock = parse("xid:xid dbOid:u32 relOid:u32")

func standbyLocks(w *writer, _ *wal.Record, rest []byte) {
	w.objects("locks", rest, len(rest)/12, 12, standbyLock)
}

// multiStatus are MultiXactStatus (src/include/access/multixact.h).
var multiStatus = [...]string{"ForKeyShare", "ForShare", "ForNoKeyUpdate", "ForUpdate", "NoKeyUpdate", "Update"}

func multiMembers(w *writer, _ *wal.Record, rest []byte) {
	w.list("members", rest, len(rest)/8, 8, func(w *writer, b []byte) {
		w.quote()
		w.uint(uint64(u32(b, 0)))
		w.b = append(w.b, ':')
		if s := u32(b, 4); s < uint32(len(multiStatus)) {
			w.str(multiStatus[s])
		} else {
			w.uint(uint64(s))
		}
		w.quote()
	})
}

// messageTail is a logical message: its prefix, and how it begins.
func messageTail(w *writer, rec *wal.Record, rest []byte) {
	prefix := le.Uint64(rec.Main[8:])
	if prefix > uint64(len(rest)) {
		w.text("error", "prefix cut short")
		return
	}
	w.text("prefix", cString(rest[:prefix]))
	const shown = 80
	w.text("message", string(rest[prefix:min(uint64(len(rest)), prefix+shown)]))
}

// sequenceTail is the tuple of a sequence: last_value, log_cnt, is_called.
func sequenceTail(w *writer, _ *wal.Record, rest []byte) {
	if len(rest) < 23+17 {
		return
	}
	if off := int(rest[22]); off >= 23 && off+17 <= len(rest) {
		w.num("last_value", le.Uint64(rest[off:]))
		w.num("log_cnt", le.Uint64(rest[off+8:]))
		w.num("is_called", uint64(rest[off+16]))
	}
}

// genericRuns are the changed ranges of each page.
func genericRuns(w *writer, rec *wal.Record, _ []byte) {
	for i := range rec.Blocks {
		b := rec.Blocks[i].Data
		w.key("delta" + string('0'+rec.Blocks[i].ID%10))
		w.begin('[')
		for len(b) >= 4 {
			off, n := u16(b, 0), u16(b, 2)
			w.sep()
			w.quote()
			w.uint(uint64(off))
			w.b = append(w.b, '+')
			w.uint(uint64(n))
			w.quote()
			b = b[min(4+n, len(b)):]
		}
		w.end(']')
	}
}

// tupleHeader is xl_heap_header.
var tupleHeader = parse("t_infomask2:f16" + infomask2 + " t_infomask:f16" + infomask + " t_hoff:u8")

func newTuple(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) > 0 {
		rest := tupleHeader.describe(w, d)
		w.num("tuple_bytes", uint64(len(rest)))
	}
}

func updatedTuple(w *writer, rec *wal.Record, _ []byte) {
	const flagsAt, prefixFromOld, suffixFromOld = 7, 0x20, 0x40
	d := data(rec, 0)
	if len(d) == 0 {
		return
	}
	for _, part := range [...]struct {
		flag byte
		name string
	}{{prefixFromOld, "prefixlen"}, {suffixFromOld, "suffixlen"}} {
		if rec.Main[flagsAt]&part.flag != 0 && len(d) >= 2 {
			w.num(part.name, uint64(u16(d, 0)))
			d = d[2:]
		}
	}
	rest := tupleHeader.describe(w, d)
	w.num("tuple_bytes", uint64(len(rest)))
}

// pruneLists are redirections, dead and unused items, in this order.
func pruneLists(w *writer, rec *wal.Record, _ []byte) {
	d := data(rec, 0)
	if len(d) == 0 {
		return
	}
	d = w.list("redirected", d, u16(rec.Main, 4), 4, pair)
	d = w.list("dead", d, u16(rec.Main, 6), 2, putU16)
	w.list("unused", d, len(d)/2, 2, putU16)
}

// freezePlan is one plan of freezing, from 16 on for several tuples.
var (
	freezeTuple  = parse("xmax:xid offset:u16 t_infomask2:f16" + infomask2 + " t_infomask:f16" + infomask + " frzflags:u8 pad:pad1")
	freezePlan   = parse("xmax:xid t_infomask2:f16" + infomask2 + " t_infomask:f16" + infomask + " frzflags:u8 ntuples:u16")
	freezeWidth  = 12
	conflictFlag = uint8(0x08)
)

// objects writes an array of structs.
func (w *writer) objects(name string, b []byte, n, size int, l layout) []byte {
	return w.list(name, b, n, size, func(w *writer, b []byte) {
		w.begin('{')
		l.describe(w, b)
		w.end('}')
	})
}

func freezeTuples(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) > 0 {
		w.objects("tuples", d, u16(rec.Main, 4), freezeWidth, freezeTuple)
	}
}

func freezePlans16(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) > 0 {
		d = w.objects("plans", d, u16(rec.Main, 4), freezeWidth, freezePlan)
		w.list("offsets", d, len(d)/2, 2, putU16)
	}
}

// pruneFreezeLists is the record that 17 made of pruning, vacuuming and
// freezing: every list has its count before it.
func pruneFreezeLists(w *writer, rec *wal.Record, rest []byte) {
	if rec.Main[1]&conflictFlag != 0 && len(rest) >= 4 {
		w.num("snapshotConflictHorizon", uint64(u32(rest, 0)))
	}
	d, flags := data(rec, 0), rec.Main[1]
	if flags&0x10 != 0 && len(d) >= 4 {
		d = w.objects("plans", d[4:], u16(d, 0), freezeWidth, freezePlan)
	}
	for _, part := range [...]struct {
		flag byte
		name string
		size int
		put  func(*writer, []byte)
	}{{0x20, "redirected", 4, pair}, {0x40, "dead", 2, putU16}, {0x80, "unused", 2, putU16}} {
		if flags&part.flag != 0 && len(d) >= 2 {
			d = w.list(part.name, d[2:], u16(d, 0), part.size, part.put)
		}
	}
	if flags&0x10 != 0 && len(d) > 0 {
		w.list("frz_offsets", d, len(d)/2, 2, putU16)
	}
}

func postingOffset(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) >= 2 {
		w.num("postingoff", uint64(u16(d, 0)))
	}
}

func dedupIntervals(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) > 0 {
		w.list("intervals", d, len(d)/4, 4, func(w *writer, b []byte) {
			w.quote()
			w.uint(uint64(u16(b, 0)))
			w.b = append(w.b, '+')
			w.uint(uint64(u16(b, 2)))
			w.quote()
		})
	}
}

// btreeDeleted are deleted and updated items of DELETE and VACUUM, whose counts
// are the two numbers after the horizon, if there is one.
func btreeDeleted(w *writer, rec *wal.Record, _ []byte) {
	at := 0
	if rec.Op() == 0x70 {
		at = 4
	}
	d := data(rec, 0)
	if len(d) == 0 {
		return
	}
	d = w.list("deleted", d, u16(rec.Main, at), 2, putU16)
	w.list("updated", d, u16(rec.Main, at+2), 2, putU16)
}

// btreeMeta is xl_btree_metadata.
var btreeMeta = parse("version:u32 root:u32 level:u32 fastroot:u32 fastlevel:u32 last_cleanup_num_delpages:u32 allequalimage:bool")

func metaCleanup(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) > 0 {
		btreeMeta.describe(w, d)
	}
}

func hashDeleted(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 1); len(d) > 0 {
		w.list("deleted", d, len(d)/2, 2, putU16)
	}
}

func gistDeleted(w *writer, rec *wal.Record, _ []byte) {
	if d := data(rec, 0); len(d) > 0 {
		w.list("deleted", d, u16(rec.Main, 0), 2, putU16)
	}
}

func ginChildren(w *writer, rec *wal.Record, rest []byte) {
	const isLeaf = 0x2
	if u16(rec.Main, 0)&isLeaf == 0 && len(rest) >= 8 {
		w.num("leftChild", uint64(blkID(rest)))
		w.num("rightChild", uint64(blkID(rest[4:])))
	}
}
