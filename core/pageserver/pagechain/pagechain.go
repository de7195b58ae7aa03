// Package pagechain is what one page is made of as of an LSN: the page that
// redo begins with, and the records and patches since, oldest first. A
// pageserver tells it, for people and programs that want to see how a page came
// about, or to replay it themselves.
//
// Start at [Chain].
package pagechain

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/redo"
	"xenon/core/wal"
)

// Limit is how many bytes of versions a pageserver puts into a chain; where
// there are more, the oldest are in the page it begins with.
const Limit = 8 << 20

// A Chain is one page as of LSN. It travels as JSON.
type Chain struct {
	Rel   RelName  `json:"rel"`
	Block uint32   `json:"block"`
	LSN   core.LSN `json:"lsn"`
	Major int      `json:"pg_version"` // of the server that wrote the records
	// Base is what the oldest version is applied to, a whole page or empty for
	// one of zeroes.
	Base     []byte    `json:"base,omitempty"`
	Folded   int       `json:"folded,omitempty"` // versions that Base has of those known
	Versions []Version `json:"versions"`
	// Managers is the redo of extensions' resource managers, nil if there are
	// none. Code does not travel: who replays a chain that it has decoded sets it.
	Managers *redo.Managers `json:"-"`
}

// A Version is one step of a chain.
type Version struct {
	Kind  Kind     `json:"kind"`
	Start core.LSN `json:"start,omitzero"` // of a record
	LSN   core.LSN `json:"lsn"`            // its end
	// LogHints tells that hint bits were logged when the record was written
	// ([redo.Applier.LogHints]).
	LogHints bool   `json:"log_hints,omitempty"`
	Data     []byte `json:"data"` // of the kind
}

// A RelName is a fork that travels as its name, as in 1663/5/16384_vm.
type RelName core.Rel

// MarshalText implements encoding.TextMarshaler.
func (r RelName) MarshalText() ([]byte, error) { return []byte(core.Rel(r).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *RelName) UnmarshalText(b []byte) error {
	name, fork, forked := strings.Cut(string(b), "_")
	rel, err := core.ParseRel(name)
	if err == nil && forked {
		rel.Fork, err = core.ParseFork(fork)
	}
	*r = RelName(rel)
	return err
}

// A Kind is what a version's data are.
type Kind string

// The kinds of versions.
const (
	Record Kind = "record" // a WAL record, as core/wal parses it
	Patch  Kind = "patch"  // a [redo.Patch]
	Image  Kind = "image"  // the whole page
)

// KindOf names a kind of the layers.
func KindOf(k layer.Kind) Kind {
	switch k {
	case layer.KindRecord, layer.KindRecordInit:
		return Record
	case layer.KindPatch, layer.KindPatchInit:
		return Patch
	}
	return Image
}

// Path is the route of the chain of a page as of lsn.
func Path(id core.TTID, rel core.Rel, block uint32, lsn core.LSN) string {
	return fmt.Sprintf("/v1/tenant/%s/timeline/%s/page_chain?rel=%s&block=%d&lsn=%s",
		id.Tenant, id.Timeline, url.QueryEscape(rel.String()), block, url.QueryEscape(lsn.String()))
}

// ErrNoReplay is what every error of [Chain.Replay] wraps: the page cannot be
// made of this chain, wherever that is tried.
var ErrNoReplay = errors.New("the chain cannot be replayed")

// Decode reads a chain as a pageserver sends it.
func Decode(b []byte) (*Chain, error) {
	c := new(Chain)
	err := json.Unmarshal(b, c)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("chain of a page: %w: %w", env.ErrCorrupt, err)
	}
	return c, nil
}

func (c *Chain) check() error {
	if _, err := wal.VersionByMajor(c.Major); err != nil {
		return err
	}
	if len(c.Base) != 0 && len(c.Base) != core.PageSize {
		return fmt.Errorf("it begins with a page of %d bytes", len(c.Base))
	}
	last := core.LSN(0)
	for i, v := range c.Versions {
		switch {
		case v.LSN < last || v.LSN > c.LSN:
			return fmt.Errorf("version %d is as of %s, behind one as of %s in a page as of %s", i, v.LSN, last, c.LSN)
		case v.Kind == Image && len(v.Data) != core.PageSize:
			return fmt.Errorf("version %d is an image of %d bytes", i, len(v.Data))
		case v.Kind != Image && v.Kind != Patch && v.Kind != Record:
			return fmt.Errorf("version %d is of the unknown kind %q", i, v.Kind)
		}
		last = v.LSN
	}
	return nil
}

// Bytes is the size of the versions' data.
func (c *Chain) Bytes() (n int) {
	for i := range c.Versions {
		n += len(c.Versions[i].Data)
	}
	return n
}

// Fold puts the oldest versions into the page that the chain begins with,
// until the rest have no more than limit bytes. The last version stays.
func (c *Chain) Fold(limit int) error {
	n, left := 0, c.Bytes()
	for left > limit && n < len(c.Versions)-1 {
		left -= len(c.Versions[n].Data)
		n++
	}
	if n == 0 {
		return nil
	}
	old := *c
	old.Versions = c.Versions[:n]
	page, err := old.Replay(nil)
	if err != nil {
		return err
	}
	c.Base, c.Folded, c.Versions = page[:], c.Folded+n, c.Versions[n:]
	return nil
}

// A Step is told of each version of a chain after it was applied: rec is the
// record, nil of an image or a patch, and page the page then. Both are the
// replay's own and change with the next step.
type Step func(i int, v *Version, rec *wal.Record, page *redo.Page)

// Replay makes the page. With step, which may be nil, the caller can follow.
// An error wraps [ErrNoReplay], and a [redo.RecordError] if a record does not
// fit; the page is then as far as it came.
func (c *Chain) Replay(step Step) (page redo.Page, err error) {
	version, err := wal.VersionByMajor(c.Major)
	if err != nil {
		return page, fmt.Errorf("%w: %w", ErrNoReplay, err)
	}
	copy(page[:], c.Base)
	a := redo.Applier{Managers: c.Managers}
	var rec wal.Record
	for i := range c.Versions {
		v := &c.Versions[i]
		var r *wal.Record
		switch v.Kind {
		case Image:
			copy(page[:], v.Data)
		case Patch:
			err = redo.Patch(v.Data).Apply(&page)
		default:
			r = &rec
			err = c.apply(&a, v, version, r, &page)
		}
		if err != nil {
			return page, fmt.Errorf("%w: version %d, as of %s: %w", ErrNoReplay, i, v.LSN, err)
		}
		if step != nil {
			step(i, v, r, &page)
		}
	}
	return page, nil
}

// EndsWithHint tells whether the last record only says that hint bits changed,
// and has no image, as with full_page_writes off. The server that wrote it gave
// its page the record's LSN; replay, any server's, does nothing.
func (c *Chain) EndsWithHint() bool {
	version, err := wal.VersionByMajor(c.Major)
	if err != nil || len(c.Versions) == 0 {
		return false
	}
	v := &c.Versions[len(c.Versions)-1]
	var rec wal.Record
	if v.Kind != Record || v.LSN != c.LSN || version.ParseRecord(v.Data, v.Start, &rec) != nil {
		return false
	}
	return rec.Rmgr == wal.RmgrXLOG && rec.Op() == wal.XLOGFPIForHint && len(rec.Blocks) == 1 && !rec.Blocks[0].ApplyImage
}

func (c *Chain) apply(a *redo.Applier, v *Version, version *wal.Version, rec *wal.Record, page *redo.Page) error {
	if err := version.ParseRecord(v.Data, v.Start, rec); err != nil {
		return err
	}
	rec.Start, rec.End = v.Start, v.LSN
	a.LogHints = v.LogHints
	for i := range rec.Blocks {
		if b := &rec.Blocks[i]; b.Block == c.Block && b.Rel == core.Rel(c.Rel) {
			_, err := a.Apply(page, rec, b)
			return err
		}
	}
	return fmt.Errorf("record %s does not name the page: %w", v.Start, env.ErrCorrupt)
}
