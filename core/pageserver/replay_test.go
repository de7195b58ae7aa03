package pageserver_test

import (
	"context"
	"testing"

	"xenon/core/pageserver"
	"xenon/core/redo"
)

// TestBatchIsReplayedTogether reads pages with long chains one by one and in
// batches, which several tasks replay: they are the same pages, and an error is
// the error of its page alone. Run it with the race detector.
func TestBatchIsReplayedTogether(t *testing.T) {
	const blocks, chain = 32, 30
	w := newWorld(t)
	s := newScript(w)
	for blk := range uint32(blocks) {
		s.fpi(t, heapRel, blk)
	}
	for i := range chain {
		for blk := range uint32(blocks) {
			if int(blk) >= i { // of many lengths
				s.inplace(t, heapRel, blk)
			}
		}
	}
	tl := w.openIn(t, w.own(t))
	defer tl.Close()
	ingestRest(t, tl, s)
	var reqs []pageserver.PageAt
	for blk := range uint32(blocks) {
		reqs = append(reqs, pageserver.PageAt{Rel: heapRel, Block: blk, LSN: s.last()})
	}
	missing := heapRel
	missing.Node = 99999
	reqs = append(reqs, pageserver.PageAt{Rel: missing, LSN: s.last()})
	pages, errs := make([]redo.Page, len(reqs)), make([]error, len(reqs))
	for range 20 {
		clear(pages)
		tl.GetPages(context.Background(), reqs, pages, errs)
		for i, q := range reqs {
			var alone redo.Page
			err := tl.GetPage(context.Background(), q, &alone)
			if (err == nil) != (errs[i] == nil) || (err != nil) != (q.Rel == missing) {
				t.Fatalf("%s block %d: %v alone, %v in the batch", q.Rel, q.Block, err, errs[i])
			}
			if alone != pages[i] {
				t.Fatalf("%s block %d differs in the batch", q.Rel, q.Block)
			}
		}
	}
}
