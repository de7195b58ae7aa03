package describe

import (
	"strconv"
	"strings"

	"xenon/core/wal"
)

// A Describer describes records, one after the other. It keeps the memory that
// this takes, so that describing allocates nothing in the long run; one
// Describer is for one goroutine. The zero value is ready.
type Describer struct {
	// Name is what a record is called, as manager and opcode with a slash between
	// them; nil means [wal.Record.Name]. It is how extensions' records get names.
	Name func(*wal.Record) string

	w    writer
	xact wal.Xact
}

func (d *Describer) name(rec *wal.Record) string {
	if d.Name != nil {
		return d.Name(rec)
	}
	return rec.Name()
}

// Data is the fields of the record's main data, and the lists that it keeps
// with its blocks, as name=value; empty if there are none. It is valid until
// the next call of any method.
func (d *Describer) Data(rec *wal.Record) []byte {
	d.w.reset(false)
	d.data(rec)
	return d.w.b
}

// Line is one line for people, without a newline: place, name, transaction,
// size, data, blocks. It is valid until the next call of any method.
func (d *Describer) Line(rec *wal.Record) []byte {
	d.w.reset(false)
	d.line(rec)
	return d.w.b
}

// AppendLine appends what Line is of, for who writes many.
func (d *Describer) AppendLine(dst []byte, rec *wal.Record) []byte {
	return d.into(dst, false, rec, d.line)
}

// AppendJSON appends what JSON is of.
func (d *Describer) AppendJSON(dst []byte, rec *wal.Record) []byte {
	return d.into(dst, true, rec, d.object)
}

func (d *Describer) into(dst []byte, json bool, rec *wal.Record, write func(*wal.Record)) []byte {
	own := d.w.b
	d.w.begins(dst, json)
	write(rec)
	dst, d.w.b = d.w.b, own
	return dst
}

func (d *Describer) line(rec *wal.Record) {
	w := &d.w
	w.b = appendLSN(w.b, rec.Start)
	w.pad(12)
	w.str(d.name(rec))
	w.pad(40)
	w.num("xid", uint64(rec.XID))
	if rec.TopXID != 0 {
		w.num("top_xid", uint64(rec.TopXID))
	}
	w.num("len", uint64(rec.Len))
	if rec.HasOrigin {
		w.num("origin", uint64(rec.Origin))
	}
	w.str(" ")
	w.open = true
	d.data(rec)
	for i := range rec.Blocks {
		w.block(&rec.Blocks[i])
	}
}

// pad fills the line with spaces up to a column, one at least.
func (w *writer) pad(column int) {
	const spaces = "                                        "
	w.str(spaces[:max(1, min(column-(len(w.b)-w.line), len(spaces)))])
	w.open = true
}

// block is one block reference of a line.
func (w *writer) block(b *wal.Block) {
	w.str(" #")
	w.uint(uint64(b.ID))
	w.b = append(w.b, ' ')
	w.rel(b.Rel)
	w.str(" blk ")
	w.uint(uint64(b.Block))
	if b.WillInit {
		w.str(" init")
	}
	if b.HasImage {
		w.str(" image ")
		w.uint(uint64(len(b.Image)))
		if b.Compression != wal.Uncompressed {
			w.b = append(w.b, ' ')
			w.str(b.Compression.String())
		}
		if !b.ApplyImage {
			w.str(" for checking")
		}
	}
	if len(b.Data) > 0 {
		w.str(" data ")
		w.uint(uint64(len(b.Data)))
	}
}

// JSON is the record as one JSON object, without a newline. It is valid until
// the next call of any method.
func (d *Describer) JSON(rec *wal.Record) []byte {
	d.w.reset(true)
	d.object(rec)
	return d.w.b
}

func (d *Describer) object(rec *wal.Record) {
	w := &d.w
	w.begin('{')
	w.lsn("lsn", rec.Start)
	w.lsn("end", rec.End)
	w.lsn("prev", rec.Prev)
	rmgr, op, _ := strings.Cut(d.name(rec), "/")
	w.text("rmgr", rmgr)
	w.text("record", op)
	w.num("info", uint64(rec.Info))
	w.num("xid", uint64(rec.XID))
	if rec.TopXID != 0 {
		w.num("top_xid", uint64(rec.TopXID))
	}
	if rec.HasOrigin {
		w.num("origin", uint64(rec.Origin))
	}
	w.num("len", uint64(rec.Len))
	w.num("fpi_len", uint64(FPILen(rec)))
	w.key("data")
	w.begin('{')
	d.data(rec)
	w.end('}')
	w.key("blocks")
	w.begin('[')
	for i := range rec.Blocks {
		w.sep()
		w.jsonBlock(&rec.Blocks[i])
	}
	w.end(']')
	w.end('}')
}

func (w *writer) jsonBlock(b *wal.Block) {
	w.begin('{')
	w.num("id", uint64(b.ID))
	rel := b.Rel
	rel.Fork = 0
	w.key("rel")
	w.rel(rel)
	w.text("fork", b.Rel.Fork.String())
	w.num("block", uint64(b.Block))
	if b.WillInit {
		w.key("init")
		w.str("true")
	}
	if b.HasImage {
		w.key("image")
		w.begin('{')
		w.num("len", uint64(len(b.Image)))
		w.key("apply")
		w.b = strconv.AppendBool(w.b, b.ApplyImage)
		w.num("hole_offset", uint64(b.HoleOffset))
		w.num("hole_length", uint64(b.HoleLen))
		w.text("compression", b.Compression.String())
		w.end('}')
	}
	w.num("data_len", uint64(len(b.Data)))
	w.end('}')
}

// FPILen is the bytes of a record that are page images, as pg_waldump counts
// them: stored, so maybe compressed and without the hole.
func FPILen(rec *wal.Record) (n int) {
	for i := range rec.Blocks {
		n += len(rec.Blocks[i].Image)
	}
	return n
}

// data writes the members that a record has.
func (d *Describer) data(rec *wal.Record) {
	w := &d.w
	if rec.Rmgr == wal.RmgrXact {
		d.transaction(rec)
		return
	}
	s := shapeOf(rec)
	if s == nil {
		if len(rec.Main) > 0 && rec.Rmgr.Custom() {
			w.num("main_bytes", uint64(len(rec.Main)))
		}
		return
	}
	if size := s.layout.size(); len(rec.Main) < size && s.tail != nil {
		s.layout.describe(w, rec.Main) // a tail relies on the fixed part
		return
	}
	rest := s.layout.describe(w, rec.Main)
	if s.tail != nil {
		s.tail(w, rec, rest)
	}
}

// transaction describes a record of resource manager Transaction.
func (d *Describer) transaction(rec *wal.Record) {
	w, x := &d.w, &d.xact
	if err := wal.ParseXact(rec, x); err != nil {
		w.text("error", err.Error())
		return
	}
	if x.XID != rec.XID {
		w.num("of_xid", uint64(x.XID))
	}
	if x.Op != wal.XactAssignment && x.Op != wal.XactInvalidations {
		w.key("time")
		w.stamp(pgEpoch+x.Time/1e6, x.Time%1e6)
	}
	if x.GID != "" {
		w.text("gid", x.GID)
	}
	if x.DB != 0 {
		w.num("dbId", uint64(x.DB))
	}
	if len(x.SubXIDs) > 0 {
		w.key("subxids")
		w.begin('[')
		for _, xid := range x.SubXIDs {
			w.sep()
			w.uint(uint64(xid))
		}
		w.end(']')
	}
	for i, name := range [...]string{"dropped_rels", "dropped_rels_if_aborted"} {
		rels := x.Rels
		if i == 1 {
			rels = x.AbortRels
		}
		if len(rels) == 0 {
			continue
		}
		w.key(name)
		w.begin('[')
		for _, r := range rels {
			w.sep()
			w.rel(r)
		}
		w.end(']')
	}
	if x.DroppedStats > 0 {
		w.num("dropped_stats", uint64(x.DroppedStats))
	}
	if x.Invals > 0 {
		w.num("invalidation_msgs", uint64(x.Invals))
	}
	if x.RelCacheInitFile {
		w.text("relcache_init_file", "inval")
	}
	if x.HasOrigin {
		w.lsn("origin_lsn", x.OriginLSN)
		w.key("origin_time")
		w.stamp(pgEpoch+x.OriginTime/1e6, x.OriginTime%1e6)
	}
}
