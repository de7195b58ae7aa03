package waltool

import (
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
	d := &dump{o: o, w: w, res: &res, all: o.Select.all()}
	res.End, err = o.Scan.run(s, d.record)
	if flush := d.flush(); err == nil {
		err = flush
	}
	return res, err
}

// outSize is how many bytes of lines are written at once.
const outSize = 64 << 10

type dump struct {
	o   *DumpOptions
	w   io.Writer
	out []byte // lines not written yet
	d   describe.Describer
	res *DumpResult
	all bool // every record is chosen, but for the pattern
}

// record prints one record if it is chosen.
func (d *dump) record(rec *wal.Record) (goOn bool, err error) {
	d.res.Records++
	sel := &d.o.Select
	if !d.all && !sel.matches(rec) {
		return !sel.past(), nil
	}
	if sel.Pattern != nil && !sel.Pattern.Match(d.d.Line(rec)) {
		return true, nil
	}
	d.res.Selected++
	if !d.o.Count {
		if d.o.JSON {
			d.out = d.d.AppendJSON(d.out, rec)
		} else {
			d.out = d.d.AppendLine(d.out, rec)
		}
		d.out = append(d.out, '\n')
		// Who follows wants to see it now.
		if d.o.Follow || len(d.out) >= outSize {
			err = d.flush()
		}
	}
	return err == nil && (d.o.Limit == 0 || d.res.Selected < d.o.Limit), err
}

// flush writes the lines there are.
func (d *dump) flush() error {
	if len(d.out) == 0 {
		return nil
	}
	_, err := d.w.Write(d.out)
	d.out = d.out[:0]
	return err
}
