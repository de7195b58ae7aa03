package pageserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
	"xenon/core/wire/http1"
)

// Chain is what a page is made of as of an LSN, which must have been reached:
// all that a read would replay which finds no page that was kept.
func (t *Timeline) Chain(ctx context.Context, p PageAt) (*pagechain.Chain, error) {
	t = t.asOf(p.LSN)
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	defer r.end()
	t.mu.Lock()
	r.begin(t)
	r.counting = true
	r.plan(t.state.fork(p.Rel), core.BlockKey(p.Rel, 0), p.Block, p.LSN)
	t.mu.Unlock()
	var base [1]redo.Page
	err := [1]error{r.start(ctx, &r.plans[0], &base[0])}
	r.collect(ctx, err[:])
	plan := &r.plans[0]
	if err[0] == nil && plan.exists && !plan.whole {
		if err[0] = r.begins(ctx, plan, &base[0]); err[0] == nil {
			r.readBase(ctx, base[:], err[:])
		}
	}
	if err[0] != nil {
		return nil, err[0]
	}
	c := &pagechain.Chain{Rel: pagechain.RelName(p.Rel), Block: p.Block, LSN: p.LSN, Major: t.index.Major, Versions: []pagechain.Version{}, Managers: r.applier.Managers}
	if base[0] != (redo.Page{}) {
		c.Base = base[0][:]
	}
	for i := plan.oldest; i >= 0; i = r.links[i].newer {
		r.appendVersion(c, &r.links[i].Version)
	}
	return c, c.Fold(pagechain.Limit)
}

// appendVersion puts a version, which belongs to the reading, into a chain.
func (r *reading) appendVersion(c *pagechain.Chain, v *layer.Version) {
	c.Versions = append(c.Versions, pagechain.Version{
		Kind: pagechain.KindOf(v.Kind), Start: v.Start, LSN: v.LSN, LogHints: r.t.logHintsAt(v.LSN), Data: append([]byte(nil), v.Data...),
	})
}

// getChain tells what a page is made of; it waits for the LSN as a page
// request does.
func (n *node) getChain(w http.ResponseWriter, r *http.Request, a *attached) {
	var rel pagechain.RelName
	err := rel.UnmarshalText([]byte(r.FormValue("rel")))
	block, err2 := strconv.ParseUint(r.FormValue("block"), 10, 32)
	if err = errors.Join(err, err2); err != nil {
		http1.WriteError(w, http.StatusBadRequest, fmt.Errorf("page_chain: want rel=SPC/DB/NODE, block=N and lsn=X/Y: %w", err))
		return
	}
	lsn, ok := n.waitFor(w, r, a)
	if !ok {
		return
	}
	c, err := a.t.Chain(r.Context(), PageAt{core.Rel(rel), uint32(block), lsn})
	switch {
	case errors.Is(err, ErrNoRelation):
		http1.WriteError(w, http.StatusNotFound, err)
	case errors.Is(err, pagechain.ErrNoReplay):
		http1.WriteError(w, http.StatusUnprocessableEntity, err)
	case err != nil:
		writeReadError(w, err)
	default:
		http1.WriteJSON(w, c)
	}
}
