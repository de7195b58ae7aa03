package waltool

import (
	"bufio"
	"io"

	"xenon/core/redo/describe"
	"xenon/core/wal"
)

// DumpOptions say which records are printed, and how.
type DumpOptions struct {
	Scan
	Select Selection
	JSON   bool  // an object for each record instead of a line
	Limit  int64 // so many records, 0: all
	Count  bool  // print none
}

// A DumpResult is what a dump came to.
type DumpResult struct {
	Records  int64 `json:"records"`  // read
	Selected int64 `json:"selected"` // printed, or counted
	End
}

// Dump prints the chosen records of a source.
func Dump(w io.Writer, s *Source, o *DumpOptions) (res DumpResult, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	d := &dump{o: o, out: out, res: &res}
	res.End, err = o.Scan.run(s, d.record)
	if flush := out.Flush(); err == nil {
		err = flush
	}
	return res, err
}

type dump struct {
	o   *DumpOptions
	out *bufio.Writer
	d   describe.Describer
	res *DumpResult
}

// record prints one record if it is chosen.
func (d *dump) record(rec *wal.Record) (goOn bool, err error) {
	d.res.Records++
	sel := &d.o.Select
	if !sel.matches(rec) {
		return !sel.past(), nil
	}
	if sel.Pattern != nil && !sel.Pattern.Match(d.d.Line(rec)) {
		return true, nil
	}
	d.res.Selected++
	if !d.o.Count {
		line := d.d.Line
		if d.o.JSON {
			line = d.d.JSON
		}
		if _, err := d.out.Write(append(line(rec), '\n')); err != nil {
			return false, err
		}
		// Who follows wants to see it now.
		if d.o.Follow {
			err = d.out.Flush()
		}
	}
	return err == nil && (d.o.Limit == 0 || d.res.Selected < d.o.Limit), err
}
