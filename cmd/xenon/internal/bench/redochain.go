package bench

import (
	"fmt"
	"time"

	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// chainLengths are those that are measured, and chainCases how many pages of
// each.
var chainLengths = [...]int{1, 10, 100}

const chainCases = 64

// A chainCase is a page of a table and the records after it, as a pageserver
// stores them.
type chainCase struct {
	blk      uint32
	rel      core.Rel
	base     redo.Page
	logHints bool
	raw      [][]byte
	start    []core.LSN
	end      []core.LSN
}

// collect finds pages with many records of Heap and Heap2 on them, and counts
// the records.
func (b *redoBench) collect(ctl *wal.Control) error {
	type at struct {
		rel core.Rel
		blk uint32
	}
	longest := chainLengths[len(chainLengths)-1]
	cases := map[at]*chainCase{}
	r, err := b.replay(func(rec *wal.Record, blk *wal.Block, page *redo.Page) {
		if rec.Rmgr != wal.RmgrHeap && rec.Rmgr != wal.RmgrHeap2 || blk.Rel.Fork != core.MainFork || blk.WillInit {
			return
		}
		k := at{blk.Rel, blk.Block}
		c := cases[k]
		if c == nil {
			if len(cases) == 20*chainCases {
				return
			}
			c = &chainCase{blk: blk.Block, rel: blk.Rel, base: *page, logHints: redo.CountersOf(ctl).Settings.LogHints()}
			cases[k] = c
			b.heap = append(b.heap, c)
		}
		if len(c.raw) < longest {
			c.raw = append(c.raw, append([]byte(nil), rec.Raw...))
			c.start, c.end = append(c.start, rec.Start), append(c.end, rec.End)
		}
	})
	if err != nil {
		return err
	}
	b.records = r.records
	return nil
}

// chains measures what a read of a page pays: a copy of the base, and each
// record parsed, checked and applied.
func (b *redoBench) chains() (rows []RedoRow, err error) {
	for _, n := range chainLengths {
		var cases []*chainCase
		for _, c := range b.heap {
			if len(c.raw) >= n && len(cases) < chainCases {
				cases = append(cases, c)
			}
		}
		if len(cases) == 0 {
			return nil, fmt.Errorf("no page has %d records: take more --transactions", n)
		}
		var all []float64
		for range b.opts.Rounds {
			d, err := timeChains(b.site, cases, n)
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
		rows = append(rows, RedoRow{Metric: fmt.Sprintf("chain of %d", n), Unit: "CPU-µs", Value: median(all), Aim: 1 + 0.3*float64(n)})
	}
	return rows, nil
}

// timeChains is the processor time of one chain in microseconds.
func timeChains(s Site, cases []*chainCase, n int) (float64, error) {
	var a redo.Applier
	var rec wal.Record
	var page redo.Page
	version, err := wal.VersionByMajor(s.Dist.Major)
	if err != nil {
		return 0, err
	}
	done := 0
	begin := ownCPU()
	for ownCPU()-begin < 300*time.Millisecond {
		for _, c := range cases {
			page = c.base
			a.LogHints = c.logHints
			for i := range n {
				if err := version.ParseRecord(c.raw[i], c.start[i], &rec); err != nil {
					return 0, err
				}
				rec.Start, rec.End = c.start[i], c.end[i]
				if err := applyTo(&a, &page, &rec, c); err != nil {
					return 0, err
				}
			}
			done++
		}
	}
	return float64((ownCPU() - begin).Nanoseconds()) / 1e3 / float64(done), nil
}

func applyTo(a *redo.Applier, page *redo.Page, rec *wal.Record, c *chainCase) error {
	for i := range rec.Blocks {
		if blk := &rec.Blocks[i]; blk.Block == c.blk && blk.Rel == c.rel {
			out, err := a.Apply(page, rec, blk)
			if err == nil && out == redo.Newer {
				err = fmt.Errorf("record %s was on the page before", rec.Start)
			}
			return err
		}
	}
	return fmt.Errorf("record %s does not name block %d of %s", rec.Start, c.blk, c.rel)
}
