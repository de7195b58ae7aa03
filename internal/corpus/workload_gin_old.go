package corpus

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"xenon/core"
)

// oldGins has leaves of posting trees as PostgreSQL wrote them before 9.4:
// arrays of TIDs. pg_upgrade keeps them, and each becomes posting lists when it
// first changes. Here they are put into the files of a stopped server; moving
// the indexes to another tablespace then brings them into the WAL.
func oldGins(w *session) error {
	if w.s.opt.Checksums {
		return fmt.Errorf("pages are changed behind the server's back: make the corpus without checksums")
	}
	w.sql("postgres", "create tablespace old location ''")
	tables := []string{"inserted", "vacuumed", "emptied"}
	files, tids := map[string]string{}, map[string]string{}
	for _, name := range tables {
		w.sql("postgres", strings.ReplaceAll(`
set wal_consistency_checking = '';
create table NAME (a int[], n int);
insert into NAME select array[5], g from generate_series(1, 3000) g;
create index NAME_a on NAME using gin (a) with (fastupdate = off) tablespace old;
delete from NAME where n % 3 > 0;  -- an array on one page holds 1,358
vacuum NAME;
`, "NAME", name))
		files[name] = w.query("postgres", fmt.Sprintf("select pg_relation_filepath('%s_a')", name))
		tids[name] = w.query("postgres", fmt.Sprintf("select ctid from %s order by ctid", name))
	}
	if w.err != nil {
		return w.err
	}
	if w.err = w.s.stop(w.ctx, w.data, "fast"); w.err != nil {
		return w.err
	}
	for _, name := range tables {
		list := strings.Fields(tids[name])
		if name == "emptied" {
			list = nil
		}
		if w.err = oldLeaf(filepath.Join(w.data, strings.TrimSpace(files[name])), list); w.err != nil {
			return w.err
		}
	}
	if w.err = w.s.start(w.ctx, w.data); w.err != nil {
		return w.err
	}
	for _, name := range tables {
		w.sql("postgres", "alter index "+name+"_a set tablespace pg_default")
	}
	w.sql("postgres", `
insert into inserted select array[5], -g from generate_series(1, 20) g;
insert into emptied select array[5], -g from generate_series(1, 20) g;
delete from vacuumed where n % 6 = 0;
vacuum vacuumed;
insert into vacuumed select array[5], -g from generate_series(1, 20) g;
`)
	return w.err
}

// oldLeaf turns the one leaf of a posting tree in a file into an array of TIDs,
// each as "(block,offset)" (src/include/access/ginblock.h).
func oldLeaf(file string, tids []string) error {
	const (
		lower, header, dataStart        = 12, 24, 32
		opaque, maxoff, flags           = core.PageSize - 8, core.PageSize - 4, core.PageSize - 2
		data, leaf, isCompressed        = 1 << 0, 1 << 1, 1 << 7
		leafFlags, oldFlags      uint16 = data | leaf | isCompressed, data | leaf
	)
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for at := 0; at+core.PageSize <= len(b); at += core.PageSize {
		page := b[at : at+core.PageSize]
		if le.Uint16(page[flags:]) != leafFlags {
			continue
		}
		clear(page[dataStart:opaque])
		for i, tid := range tids {
			var block uint32
			var offset uint16
			if _, err := fmt.Sscanf(tid, "(%d,%d)", &block, &offset); err != nil {
				return fmt.Errorf("TID %q: %w", tid, err)
			}
			to := page[dataStart+6*i:]
			le.PutUint16(to, uint16(block>>16))
			le.PutUint16(to[2:], uint16(block))
			le.PutUint16(to[4:], offset)
		}
		le.PutUint16(page[lower:], header)
		le.PutUint16(page[maxoff:], uint16(len(tids)))
		le.PutUint16(page[flags:], oldFlags)
		return os.WriteFile(file, b, 0o600)
	}
	return fmt.Errorf("%s has no leaf of a posting tree", file)
}
