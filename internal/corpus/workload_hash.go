package corpus

import (
	"fmt"
	"strings"
)

// hashPage is how many index tuples fit on a page of a hash index: 8152 bytes,
// 20 for each tuple with its line pointer.
const hashPage = 407

func hashes(w *session) error {
	// Small buckets, so that a small table splits them often; more buckets than
	// 512, which are allocated by quarters of a doubling.
	w.sql("postgres", `
set wal_consistency_checking = 'hash';
create table small (a int, b text);
vacuum small;              -- known to be empty: two buckets
create index small_a on small using hash (a) with (fillfactor = 10);
insert into small select g, 'v' from generate_series(1, ROWS) g;
delete from small where a % 3 = 0;
vacuum (index_cleanup on) small;
insert into small select g % 7, 'w' from generate_series(1, ROWS) g;
create unlogged table unlogged (a int);
create index on unlogged using hash (a);
create table many (a int);
insert into many values (1);
update pg_class set relpages = 1, reltuples = 26000 where oid = 'many'::regclass;
create index many_a on many using hash (a) with (fillfactor = 10);
`)
	for _, c := range hashChains {
		w.hashChain(c)
	}
	// Scans find tuples dead, an insert that needs their space removes them.
	for _, key := range []int{5, 6, 7} {
		table := fmt.Sprint("killed", key)
		w.hashFill(table, key, hashPage)
		w.sql("postgres", strings.NewReplacer("TABLE", table, "KEY", fmt.Sprint(key)).Replace(`
set wal_consistency_checking = 'hash';
delete from TABLE where b % KEY <> 0;
set enable_seqscan = off;
set enable_bitmapscan = off;
select count(*) from TABLE where a = KEY;
select count(*) from TABLE where a = KEY;
insert into TABLE select KEY, -g from generate_series(1, 10) g;
delete from TABLE where b % 7 = 0;
vacuum (index_cleanup on) TABLE;
`))
	}
	return w.err
}

// A hashChain is a bucket of several pages and which tuples of it go before
// the vacuum: how many stay on each page says which records that writes.
type hashChain struct {
	name  string
	pages int
	stays string // condition on p, the number of the page, and b, that of the row
	final bool   // no more rows come, so the LSNs that the vacuum left stay
}

var hashChains = []hashChain{
	// The last page's tuples fill up all the pages before it.
	{"filled", 4, "b % 4 <> 0", false},
	// Pages are freed that are neither behind the page with space nor behind the
	// first; one of them is empty.
	{"far", 5, "p = 0 or p = 1 and b % 2 = 0 or p in (2, 4) and b % 50 = 0", false},
	// An empty page is freed while the first page has space, then one right
	// behind it.
	{"behind", 3, "p = 0 and b % 2 = 0 or p = 1 and b % 40 = 0", false},
	// The first page takes what it can of a full page.
	{"half", 3, "p = 0 and b % 2 = 0 or p = 1 or b % 80 = 0", false},
	{"emptied", 2, "p = 0", false},
	// The first page is named and stays as it is: for its lock, and as the page
	// to take the tuples of an empty one.
	{"locked", 3, "p = 0 or b % 2 = 0", true},
	{"alone", 3, "p < 2", true},
}

// hashFill makes a table with so many rows of one key; b counts them. Images of
// every insert would be most of the corpus.
func (w *session) hashFill(table string, key, rows int) {
	w.sql("postgres", fmt.Sprintf(`
set wal_consistency_checking = '';
create table %s (a int, b int);
create index on %[1]s using hash (a);
insert into %[1]s select %d, g from generate_series(0, %d) g;
`, table, key, rows-1))
}

// hashChain makes a chain, vacuums it, and lets it grow again: by free pages,
// then by new ones.
func (w *session) hashChain(c hashChain) {
	w.hashFill(c.name, 77, c.pages*hashPage)
	stays := strings.NewReplacer("p ", fmt.Sprintf("b / %d ", hashPage)).Replace(c.stays)
	grow := `
insert into TABLE select 77, g from generate_series(1, PAGE) g;
set wal_consistency_checking = '';
insert into TABLE select 77, g from generate_series(1, MANY) g;
set wal_consistency_checking = 'hash';
insert into TABLE select 77, g from generate_series(1, PAGE) g;
`
	if c.final {
		grow = ""
	}
	w.sql("postgres", strings.NewReplacer("TABLE", c.name, "STAYS", stays,
		"MANY", fmt.Sprint(c.pages*hashPage), "PAGE", fmt.Sprint(hashPage)).Replace(`
set wal_consistency_checking = 'hash';
set wal_compression = on;
delete from TABLE where not (STAYS);
vacuum (index_cleanup on) TABLE;
`+grow))
	if w.err != nil {
		w.err = fmt.Errorf("chain %s: %w", c.name, w.err)
	}
}
