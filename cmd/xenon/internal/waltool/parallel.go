package waltool

import (
	"errors"
	"runtime"
	"sync"

	"xenon/core"
)

// Stats counts the chosen records of a source. Segments are read by several
// goroutines at once: the place where a record begins decides whose it is.
func Stats(s *Source, o *StatsOptions) (res StatsResult, err error) {
	parts := o.parts(s)
	var wg sync.WaitGroup
	errs := make([]error, len(parts))
	for i, c := range parts {
		wg.Go(func() { c.res.End, errs[i] = c.o.Scan.run(s, c.record) })
	}
	wg.Wait()
	all := parts[0]
	for i, c := range parts {
		if i > 0 {
			all.merge(c)
		}
		// The log goes no further, whatever is in the segments behind.
		if errs[i] != nil || !c.res.Asked {
			break
		}
	}
	all.res.By, all.res.Start = o.By, max(o.Start, s.start())
	all.res.Total.Name = "total"
	all.rows()
	return *all.res, errors.Join(errs...)
}

// parts splits the work at segment boundaries. A time depends on all that came
// before, so who asks for one gets one part.
func (o *StatsOptions) parts(s *Source) (parts []*counting) {
	if s.Set == nil {
		return []*counting{o.part(o)}
	}
	start, size := max(o.Start, s.Set.Start()), s.Set.Format.SegmentSize
	last := s.Set.Last
	if o.End != 0 {
		last = min(last, (o.End - 1).Segment(size))
	}
	first := start.Segment(size)
	n := 1
	if o.Select.Since.IsZero() && o.Select.Until.IsZero() && last > first {
		n = int(min(uint64(runtime.GOMAXPROCS(0)), last-first+1))
	}
	share := o.sharedProgress(n)
	for i := range n {
		mine := *o
		if i > 0 {
			mine.Start = parts[i-1].o.End
		}
		if i < n-1 {
			mine.End = core.SegmentStart(first+(last-first+1)*uint64(i+1)/uint64(n), size)
		}
		mine.Progress = share(i)
		parts = append(parts, o.part(&mine))
	}
	return parts
}

// part is counting with options that differ from o in no choice of records.
func (o *StatsOptions) part(mine *StatsOptions) *counting {
	all := o.Select.all() && o.Select.Pattern == nil
	return &counting{o: mine, res: &StatsResult{}, all: all, rels: map[core.Rel]*Row{}}
}

// sharedProgress makes one Progress of those of n parts.
func (o *StatsOptions) sharedProgress(n int) func(i int) func(done, total int64) {
	var mu sync.Mutex
	done, total := make([]int64, n), make([]int64, n)
	return func(i int) func(int64, int64) {
		if o.Progress == nil {
			return nil
		}
		return func(d, t int64) {
			mu.Lock()
			defer mu.Unlock()
			done[i], total[i] = d, t
			var d2, t2 int64
			for j := range done {
				d2, t2 = d2+done[j], t2+max(total[j], t)
			}
			o.Progress(d2, t2)
		}
	}
}

// merge adds what the part behind counted.
func (c *counting) merge(next *counting) {
	c.res.Records += next.res.Records
	c.res.Total.add(next.res.Total.Count, next.res.Total.Record, next.res.Total.FPI)
	if next.res.Records > 0 || !next.res.Asked {
		c.res.End = next.res.End
	}
	if next.version != nil {
		c.version = next.version
	}
	for i := range next.ops {
		r := &next.ops[i]
		c.ops[i].add(r.Count, r.Record, r.FPI)
	}
	for rel, r := range next.rels {
		c.rel(rel).add(r.Count, r.Record, r.FPI)
	}
}
