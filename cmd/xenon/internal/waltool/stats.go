package waltool

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"xenon/core"
	"xenon/core/redo/describe"
	"xenon/core/wal"
)

// A By is what statistics are made by.
type By string

// By manager, by manager and opcode, by relation.
const (
	ByRmgr     By = "rmgr"
	ByRecord   By = "record"
	ByRelation By = "rel"
)

// A Row is the records of one kind. Bytes are as pg_waldump --stats counts
// them: those of a record are without its images.
type Row struct {
	Name     string `json:"name"`
	Count    int64  `json:"count"`
	Record   int64  `json:"record_bytes"`
	FPI      int64  `json:"fpi_bytes"`
	Combined int64  `json:"combined_bytes"`
}

func (r *Row) add(count, record, fpi int64) {
	r.Count += count
	r.Record += record
	r.FPI += fpi
	r.Combined += record + fpi
}

// StatsResult is the statistics of some WAL.
type StatsResult struct {
	By      By       `json:"by"`
	Start   core.LSN `json:"start"`
	Records int64    `json:"records"` // read
	Rows    []Row    `json:"rows"`
	Total   Row      `json:"total"`
	End
}

// StatsOptions say which records are counted, and by what.
type StatsOptions struct {
	Scan
	Select Selection
	By     By
}

// counting is statistics being made. Records are counted in an array: that is
// no allocation and no lookup for each.
type counting struct {
	o       *StatsOptions
	res     *StatsResult
	all     bool // every record is counted
	ops     [256 * 16]Row
	version *wal.Version
	rels    map[core.Rel]*Row
	d       describe.Describer
}

func (c *counting) record(rec *wal.Record) (bool, error) {
	c.res.Records++
	if sel := &c.o.Select; !c.all {
		if !sel.matches(rec) {
			return !sel.past(), nil
		}
		if sel.Pattern != nil && !sel.Pattern.Match(c.d.Line(rec)) {
			return true, nil
		}
	}
	fpi := int64(describe.FPILen(rec))
	record := int64(rec.Len) - fpi
	c.res.Total.add(1, record, fpi)
	c.version = rec.Version
	switch c.o.By {
	case ByRelation:
		c.byRelation(rec, record)
	case ByRmgr:
		c.ops[int(rec.Rmgr)<<4].add(1, record, fpi)
	default:
		c.ops[int(rec.Rmgr)<<4|int(rec.Info>>4)].add(1, record, fpi)
	}
	return true, nil
}

// byRelation counts a record for the relation of its first block, and each
// image for its own.
func (c *counting) byRelation(rec *wal.Record, record int64) {
	if len(rec.Blocks) == 0 {
		c.rel(core.Rel{}).add(1, record, 0)
	}
	for i := range rec.Blocks {
		b := &rec.Blocks[i]
		row := c.rel(b.Rel)
		if i == 0 {
			row.add(1, record, 0)
		}
		row.add(0, 0, int64(len(b.Image)))
	}
}

func (c *counting) rel(r core.Rel) *Row {
	row := c.rels[r]
	if row == nil {
		row = &Row{Name: r.String()}
		if r == (core.Rel{}) {
			row.Name = "no relation"
		}
		c.rels[r] = row
	}
	return row
}

// rows collects what was counted. Opcodes that a flag tells apart only for the
// machine, as those of transactions, become one row, as their names are one.
func (c *counting) rows() {
	byName := map[string]*Row{}
	var names []string
	put := func(name string, r Row) {
		if byName[name] == nil {
			byName[name] = &Row{Name: name}
			names = append(names, name)
		}
		byName[name].add(r.Count, r.Record, r.FPI)
	}
	for i, r := range c.ops {
		if r.Count == 0 {
			continue
		}
		id := wal.RmgrID(i >> 4)
		if name := id.String(); c.o.By == ByRmgr {
			put(name, r)
		} else {
			put(c.version.RecordName(id, uint8(i<<4)), r)
		}
	}
	for _, r := range c.rels {
		put(r.Name, *r)
	}
	c.res.Rows = make([]Row, 0, len(names))
	for _, name := range names {
		c.res.Rows = append(c.res.Rows, *byName[name])
	}
	if c.o.By == ByRelation {
		slices.SortFunc(c.res.Rows, func(a, b Row) int {
			return cmp.Or(cmp.Compare(b.Combined, a.Combined), cmp.Compare(a.Name, b.Name))
		})
	}
}

// Text is the statistics as a table.
func (r *StatsResult) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %12s %6s %14s %6s %14s %6s %14s %6s\n", "type", "records", "%", "record bytes", "%", "image bytes", "%", "all bytes", "%")
	line := func(row Row) {
		t := r.Total
		fmt.Fprintf(&b, "%-32s %12d %6.2f %14d %6.2f %14d %6.2f %14d %6.2f\n", row.Name,
			row.Count, percent(row.Count, t.Count), row.Record, percent(row.Record, t.Record),
			row.FPI, percent(row.FPI, t.FPI), row.Combined, percent(row.Combined, t.Combined))
	}
	for _, row := range r.Rows {
		line(row)
	}
	line(r.Total)
	return b.String()
}

func percent(part, of int64) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(part) / float64(of)
}
