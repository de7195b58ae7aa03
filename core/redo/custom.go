package redo

import (
	"fmt"
	"maps"
	"slices"

	"xenon/core"
	"xenon/core/wal"
)

// A Manager is the redo of an extension's resource manager (id 128 to 255),
// written in Go: what the extension's own rm_redo, rm_mask and rm_identify do
// in a server. Its functions are called from several goroutines at once, keep
// nothing between calls, and depend on nothing but their arguments: a page is
// made anew for every read of it.
type Manager struct {
	// Name is rm_name, as the extension registers it.
	Name string
	// Ops names the opcodes that redo knows, by the high four bits of xl_info.
	// A record with any other stops ingest.
	Ops map[uint8]string

	// Redo changes page, which is the block blk of rec, as the record says; false
	// says that the record does not fit. It must check every length and offset
	// that it takes from record or page, and must not keep either. The frame of
	// redo is the caller's: Redo is called for a block without an image to
	// restore whose LSN is below the record's end; a block that the record
	// initialises comes as zeroes; the LSN is set afterwards.
	Redo func(page *Page, rec *wal.Record, blk *wal.Block) bool

	// Mask hides what replay may leave different in a page, as rm_mask does. Nil
	// hides the LSN and the checksum only.
	Mask func(page *Page, block uint32)

	// Effects tells emit, in order, what the record does to relations beyond the
	// blocks that it names: RelCreate, RelTruncate, RelDrop, and nothing else;
	// false says that the record makes no sense. Nil is for a manager that only
	// changes blocks. Blocks past the end of a fork make it longer without this.
	Effects func(rec *wal.Record, emit func(Effect)) bool
}

// check tells what is wrong with a manager before it is used.
func (m *Manager) check(id wal.RmgrID) error {
	switch {
	case !id.Custom():
		return fmt.Errorf("resource manager %d (%s) is PostgreSQL's own: an extension's is 128 to 255", uint8(id), m.Name)
	case m.Name == "" || m.Redo == nil || len(m.Ops) == 0:
		return fmt.Errorf("resource manager %d: name, redo and opcodes are needed", uint8(id))
	}
	for _, op := range slices.Sorted(maps.Keys(m.Ops)) {
		if op&0x0F != 0 {
			return fmt.Errorf("resource manager %d (%s): opcode %02X: the low four bits of xl_info are not the manager's", uint8(id), m.Name, op)
		}
	}
	return nil
}

// Managers is the redo of extensions' resource managers, by id. It is made
// once by whoever puts a program together and handed to everything that
// replays: [Applier], [Effects], package verify, a pageserver. It does not
// change afterwards, so it may be shared. A nil *Managers has none.
type Managers struct {
	by map[wal.RmgrID]Manager
}

// NewManagers makes a set. All programs that read the same WAL need the same
// set: pages are made on reading, by whoever reads.
func NewManagers(by map[wal.RmgrID]Manager) (*Managers, error) {
	m := &Managers{by: maps.Clone(by)}
	for _, id := range slices.Sorted(maps.Keys(by)) {
		one := by[id]
		if err := one.check(id); err != nil {
			return nil, err
		}
		one.Ops = maps.Clone(one.Ops)
		m.by[id] = one
	}
	return m, nil
}

// find is the manager that redoes a record, and whether it knows the opcode.
func (m *Managers) find(rec *wal.Record) (found Manager, ok bool) {
	if m == nil {
		return found, false
	}
	found, ok = m.by[rec.Rmgr]
	if ok {
		_, ok = found.Ops[rec.Op()]
	}
	return found, ok
}

// RecordName is [wal.Record.Name] with the names that extensions gave.
func (m *Managers) RecordName(rec *wal.Record) string {
	if found, ok := m.find(rec); ok {
		return found.Name + "/" + found.Ops[rec.Op()]
	}
	return rec.Name()
}

// Mask is the function [Mask] for extensions' managers too.
func (m *Managers) Mask(p *Page, id wal.RmgrID, block uint32) {
	if !id.Custom() {
		Mask(p, id, block)
		return
	}
	maskLSN(p)
	if m != nil {
		if mask := m.by[id].Mask; mask != nil {
			mask(p, block)
		}
	}
}

// unknown is why a record of an extension cannot be taken, and what to do.
func (m *Managers) unknown(rec *wal.Record) string {
	if m != nil {
		if found, ok := m.by[rec.Rmgr]; ok {
			return fmt.Sprintf("redo of resource manager %d (%s) does not know the opcode %02X: is the extension newer than its redo?", uint8(rec.Rmgr), found.Name, rec.Op())
		}
	}
	whose := "of an extension"
	if name := rec.Rmgr.ReservedFor(); name != "" {
		whose = "reserved for the extension " + name
	}
	return fmt.Sprintf("resource manager %d is %s, whose redo this program does not have: "+
		"take the extension out of shared_preload_libraries and go back to before its first use, or build with its redo (redo.NewManagers)",
		uint8(rec.Rmgr), whose)
}

// redoCustom changes a page by a record of an extension.
func (a *Applier) redoCustom(page *Page, rec *wal.Record, blk *wal.Block) error {
	found, ok := a.Managers.find(rec)
	if !ok {
		return failPage(rec, blk, ErrUnknown, a.Managers.unknown(rec))
	}
	if !found.Redo(page, rec, blk) {
		return failPage(rec, blk, ErrMalformed, "by redo of the extension "+found.Name)
	}
	if !IsNew(page) && !sane(page) {
		return failPage(rec, blk, ErrMalformed, "redo of the extension "+found.Name+" left the page header's pointers out of order")
	}
	return nil
}

// custom lists the effects of an extension's record.
func (d *Effects) custom(rec *wal.Record) error {
	found, ok := d.Managers.find(rec)
	if !ok {
		return fail(rec, ErrUnknown, "%s", d.Managers.unknown(rec))
	}
	if found.Effects == nil {
		return nil
	}
	allowed := true
	sane := found.Effects(rec, func(e Effect) {
		switch e.Kind {
		case RelCreate, RelTruncate, RelDrop:
			d.add(Effect{Kind: e.Kind, Rel: e.Rel, Blocks: e.Blocks})
		default:
			allowed = false
		}
	})
	core.Must(allowed, "redo of resource manager %d (%s) has an effect that is not for extensions", uint8(rec.Rmgr), found.Name)
	if !sane {
		return fail(rec, ErrMalformed, "by redo of the extension %s", found.Name)
	}
	return nil
}
