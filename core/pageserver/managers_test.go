package pageserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver"
	"xenon/core/redo"
	"xenon/core/wal"
)

var tally = core.Rel{Spc: core.DefaultTablespace, DB: 5, Node: 99999}

// tallyRecord is a record of an extension whose pages count its records.
func tallyRecord(start core.LSN, init bool) (*wal.Record, error) {
	rec := &wal.Record{Rmgr: 200, Main: []byte{1}, Blocks: []wal.Block{{Rel: tally, WillInit: init}}}
	raw, err := wal.PG15.AppendRecord(nil, rec)
	if err != nil {
		return nil, err
	}
	parsed := new(wal.Record)
	if err := wal.PG15.ParseRecord(raw, start, parsed); err != nil {
		return nil, err
	}
	parsed.Start, parsed.End = start, (start + core.LSN(len(raw))).Align()
	return parsed, nil
}

func redoTally(p *redo.Page, rec *wal.Record, _ *wal.Block) bool {
	if redo.IsNew(p) {
		p[12], p[15], p[17], p[18], p[19] = 32, 0x20, 0x20, 4, 0x20 // lower, upper, special, size and version
	}
	p[24]++
	return true
}

// TestExtensionsRedo: with the redo of an extension its pages are made of its
// records, at every LSN; without it ingest stops and says whose it is.
func TestExtensionsRedo(t *testing.T) {
	managers, err := redo.NewManagers(map[wal.RmgrID]redo.Manager{200: {Name: "tally", Ops: map[uint8]string{0: "COUNT"}, Redo: redoTally}})
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known %v", known), func(t *testing.T) {
			c := newCrashing(t, 3, 10)
			o := pageserver.Opening{}
			if known {
				o.Managers = managers
			}
			flushed(t, c, o, func(ctx context.Context, e env.Env, tl *pageserver.Timeline) error {
				at := tl.LastRecord().LSN
				for i := range 3 {
					rec, err := tallyRecord(at, i == 0)
					if err != nil {
						return err
					}
					err = tl.Ingest(rec)
					if !known {
						if !errors.Is(err, redo.ErrUnknown) || !strings.Contains(err.Error(), "resource manager 200") {
							t.Errorf("error %v, want one that names the manager", err)
						}
						return nil
					}
					if err != nil {
						return err
					}
					at = rec.End
					var page redo.Page
					if err := tl.GetPage(ctx, pageserver.PageAt{Rel: tally, LSN: at}, &page); err != nil {
						return err
					}
					if int(page[24]) != i+1 || redo.PageLSN(&page) != at {
						t.Errorf("page counts %d as of %s, want %d as of %s", page[24], redo.PageLSN(&page), i+1, at)
					}
					chain, err := tl.Chain(ctx, pageserver.PageAt{Rel: tally, LSN: at})
					if err != nil {
						return err
					}
					if again, err := chain.Replay(nil); err != nil || again != page {
						t.Errorf("the chain as of %s makes another page: %v", at, err)
					}
				}
				return nil
			})
		})
	}
}
