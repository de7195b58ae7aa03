package crosscheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"xenon/compute/pageclient"
	"xenon/core"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// A Mismatch is a page that redo makes differently.
type Mismatch struct {
	pageclient.Version
	// Diff says in what: the first field, or why redo has no such page.
	Diff string
	// Commit is the commit LSN when the page was written, Boot where the server
	// started.
	Commit, Boot core.LSN
	// Written is the server's page, Rebuilt the pageserver's, nil if it made
	// none.
	Written, Rebuilt *redo.Page
	// Chain is what the pageserver makes the page of, nil if it does not tell.
	Chain *pagechain.Chain
}

// check compares a batch. Pages that the pageserver refuses are judged one by
// one: it answers all of a batch or none.
func (s *Sampler) check(ctx context.Context, batch []*sample) {
	if len(batch) == 0 {
		return
	}
	s.versions = s.versions[:0]
	for _, x := range batch {
		s.versions = append(s.versions, x.Version)
	}
	err := s.life.Pages.ReadVersions(ctx, s.versions, s.rebuilt[:len(batch)*core.PageSize])
	for i, x := range batch {
		switch {
		case err == nil:
			s.compare(ctx, x, (*redo.Page)(s.rebuilt[i*core.PageSize:]))
		case xsync.Cause(ctx) != nil || !errors.Is(err, pageclient.ErrRefused):
			s.c.skip(Ended)
		default:
			s.alone(ctx, x, err)
		}
	}
}

// compare judges a page that the pageserver has made.
func (s *Sampler) compare(ctx context.Context, x *sample, rebuilt *redo.Page) {
	diff := redo.DiffWritten(&x.page, rebuilt, x.Block)
	s.c.checked.Add(1)
	if diff == "" {
		return
	}
	chain, err := s.chain(ctx, x)
	if err != nil {
		s.found(x, rebuilt, nil, fmt.Sprintf("%s (what it is made of is not known: %v)", diff, err))
		return
	}
	if diff = x.diff(rebuilt, chain); diff == "" {
		return
	}
	if again, err := chain.Replay(nil); err != nil || !same(&again, rebuilt) {
		diff += "; the pageserver's page is not what its own records make"
	}
	s.found(x, rebuilt, chain, diff)
}

// diff is in what the page differs from the one rebuilt, which is made of chain.
func (x *sample) diff(rebuilt *redo.Page, chain *pagechain.Chain) string {
	if chain.EndsWithHint() {
		moved := *rebuilt
		redo.SetPageLSN(&moved, x.LSN)
		rebuilt = &moved
	}
	return redo.DiffWritten(&x.page, rebuilt, x.Block)
}

// same tells whether two pages are equal but for their checksums, which a
// pageserver sets and replay does not.
func same(a, b *redo.Page) bool {
	const checksum, rest = 8, 10 // pd_checksum
	return bytes.Equal(a[:checksum], b[:checksum]) && bytes.Equal(a[rest:], b[rest:])
}

// alone judges a page of a batch that was refused. Whether it is this page that
// cannot be made is seen from what it would be made of.
func (s *Sampler) alone(ctx context.Context, x *sample, refused error) {
	chain, err := s.chain(ctx, x)
	var status *http1.StatusError
	switch {
	case err == nil:
	case errors.As(err, &status) && status.Status == http.StatusUnprocessableEntity:
		s.c.checked.Add(1)
		s.found(x, nil, nil, "redo has no such page: "+status.Message)
		return
	case xsync.Cause(ctx) != nil:
		s.c.skip(Ended)
		return
	default:
		s.c.env.Log().Warn("a written page is not compared", "page", x.Rel, "block", x.Block, "lsn", x.LSN, "refused", refused, "error", err)
		s.c.skip(Unanswered)
		return
	}
	rebuilt, err := chain.Replay(nil)
	diff := x.diff(&rebuilt, chain)
	s.c.checked.Add(1)
	if err != nil {
		diff = err.Error()
	}
	if diff != "" {
		s.found(x, &rebuilt, chain, diff)
	}
}

// chain is what the pageserver makes the page of, ready to be replayed.
func (s *Sampler) chain(ctx context.Context, x *sample) (*pagechain.Chain, error) {
	chain, err := s.life.Pages.Chain(ctx, x.Version)
	if err == nil {
		chain.Managers = s.c.cfg.Managers
	}
	return chain, err
}

// found counts a mismatch, tells of it, and stores it.
func (s *Sampler) found(x *sample, rebuilt *redo.Page, chain *pagechain.Chain, diff string) {
	c := s.c
	c.mismatched.Add(1)
	m := &Mismatch{
		Version: x.Version, Diff: diff, Commit: x.commit, Boot: s.life.Boot, Written: &x.page, Rebuilt: rebuilt, Chain: chain,
	}
	c.env.Log().Error("a page that the server wrote is not what redo makes of its WAL",
		"branch", s.life.Branch, "rel", x.Rel, "block", x.Block, "lsn", x.LSN, "difference", diff)
	if c.cfg.Found != nil {
		c.cfg.Found(m)
	}
	stored, err := c.store(s.reportOf(m), m)
	if err != nil {
		c.env.Log().Warn("a mismatch is not stored", "error", err)
	}
	if !stored {
		c.unstored.Add(1)
	}
}
