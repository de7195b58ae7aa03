package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/stock"
	"xenon/core"
	"xenon/core/redo"
	"xenon/core/wal"
)

// mixedHistory leaves hardly a kind of change out. VM pages are those of table
// v, which is filled, vacuumed, emptied, vacuumed to size 0 and refilled, and
// of table again, whose relfilenode table old had.
var mixedHistory = [][]string{{
	"CREATE TABLE a (id int PRIMARY KEY, v text, n int) WITH (fillfactor = 70)",
	"INSERT INTO a SELECT i, repeat('x', i % 50), i FROM generate_series(1, 3000) i",
	"VACUUM (FREEZE, ANALYZE) a",
	"UPDATE a SET n = n + 1 WHERE id % 7 = 0",
	"DELETE FROM a WHERE id % 5 = 0",
	"VACUUM a",
	"CREATE INDEX a_n ON a (n)",
	"CREATE SEQUENCE s",
	"SELECT sum(nextval('s')) FROM generate_series(1, 40)",
	"CREATE TABLE v AS SELECT i, repeat('y', 100) t FROM generate_series(1, 2000) i",
	"VACUUM v",
	"DELETE FROM v",
	"VACUUM v",
	"INSERT INTO v SELECT i, 'again' FROM generate_series(1, 1500) i",
	"VACUUM v",
	"UPDATE old SET t = t WHERE i % 100 = 0",
	"DROP TABLE old",
	// The file of a dropped table is kept until then.
	"CHECKPOINT",
}, {
	"TRUNCATE a",
	"INSERT INTO a SELECT i, 'new', i FROM generate_series(1, 500) i",
	"BEGIN",
	"INSERT INTO a VALUES (-1, 'never', 0)",
	"UPDATE a SET n = n",
	"ROLLBACK",
	"DO $$ BEGIN FOR k IN 1..100 LOOP UPDATE a SET n = n + 1 WHERE id = k; END LOOP; END $$",
	// The counter of OIDs goes round and comes to where it was.
	`DO $$ BEGIN LOOP
		CREATE TABLE again (i int, t char(200)) WITH (fillfactor = 90);
		EXIT WHEN pg_relation_filenode('again') = NODE;
		DROP TABLE again;
	END LOOP; END $$`,
	"INSERT INTO again SELECT i, 'w' FROM generate_series(1, 700) i",
	"VACUUM again",
	"DELETE FROM again WHERE i < 10",
	"UPDATE v SET t = 'once more' WHERE i % 50 = 0",
	"VACUUM FULL a",
	"VACUUM FULL pg_class",
	"CREATE DATABASE copied STRATEGY file_copy",
	"CREATE DATABASE logged STRATEGY wal_log",
	"INSERT INTO again SELECT i, 'grown' FROM generate_series(1, 2000) i",
	"VACUUM again",
	"UPDATE again SET t = 'x' WHERE i = 50",
	"DELETE FROM v WHERE i < 700",
	"DROP DATABASE copied",
}}

// oldNode is the relfilenode of table old, the first one that is ever used.
const oldNode = 16384

// historyCluster is a cluster with table old, and a counter of OIDs that is
// about to go round.
func historyCluster(t *testing.T) *stock.Cluster {
	t.Helper()
	c := stock.New(t)
	// In single-user mode the counter does not begin with those of users.
	c.Run("pg_resetwal", "-o", strconv.Itoa(oldNode), "-D", c.Dir)
	c.Single("postgres", "CREATE TABLE old (i int, t char(200)) WITH (autovacuum_enabled = off)",
		"INSERT INTO old SELECT i, repeat('z', 60) FROM generate_series(1, 3000) i", "VACUUM old")
	if _, err := os.Stat(filepath.Join(c.Dir, "base", "5", strconv.Itoa(oldNode)+"_vm")); err != nil {
		t.Fatal(err)
	}
	c.Run("pg_resetwal", "-o", "4294967000", "-D", c.Dir)
	c.Single("postgres", "SELECT 1") // which writes the settings again
	return c
}

// TestPagesEqualStock compares pages as of random records of a mixed history
// with what plain PostgreSQL has after recovery to them, from the imported
// directory and the WAL that pg_receivewal got.
func TestPagesEqualStock(t *testing.T) {
	in := install(t)
	base := historyCluster(t)
	in.must("import", base.Dir, "history")
	in.must("endpoint", "stop", "main")
	in.must("endpoint", "start", "history")
	f := in.follow("history", 1)
	for i, statements := range mixedHistory {
		if i > 0 {
			in.killPostmaster("history")
		}
		in.psql("history", strings.Split(strings.ReplaceAll(strings.Join(statements, "\x00"), "NODE", strconv.Itoa(oldNode)), "\x00")...)
	}
	in.must("endpoint", "stop", "history")
	b := in.branch("history")
	f.has(filepath.Join(in.dir, "safekeeper-1", "timelines", b.Tenant.String(), b.Timeline.String()), b.StartLSN, b.CommitLSN)
	p := &pageCheck{in: in, branch: "history", base: base, wal: f.whole(), rng: rand.New(rand.NewPCG(uint64(os.Getpid()), 6))}
	t.Logf("seed %d", os.Getpid())
	for _, lsn := range p.targets(b.StartLSN, b.CommitLSN, sized(4, 20)) {
		p.check(lsn, 10)
		if t.Failed() {
			break
		}
	}
	// Few moments may have none of some kind; the last one has all.
	for tries := 0; tries < 5 && (p.vms == 0 || p.again == 0) && !t.Failed(); tries++ {
		p.check(b.CommitLSN, 10)
	}
	t.Logf("%d pages compared, %d of them VM pages, %d of table again", p.pages, p.vms, p.again)
	if p.vms == 0 || p.again == 0 {
		t.Error("the sample has no VM page, or no page of the relfilenode that was used again")
	}
}

// A pageCheck compares pages with those of plain PostgreSQL.
type pageCheck struct {
	in     *installation
	branch string
	base   *stock.Cluster
	wal    string
	rng    *rand.Rand
	pages  int
	vms    int
	again  int
}

var recordLine = regexp.MustCompile(`lsn: ([0-9A-F]+/[0-9A-F]+), prev`)

// targets are starts of n random records, the end of all among them.
func (p *pageCheck) targets(from, to core.LSN, n int) []core.LSN {
	p.in.t.Helper()
	all := p.records(from, to)
	if len(all) < 5000 {
		p.in.t.Fatalf("only %d records in the history", len(all))
	}
	targets := []core.LSN{all[len(all)-1]}
	for len(targets) < n {
		// The later half has more of what is rare.
		targets = append(targets, all[len(all)/2+p.rng.IntN(len(all)/2)], all[p.rng.IntN(len(all))])
	}
	targets = targets[:n]
	slices.Sort(targets)
	return targets
}

// records are the starts of all records between two LSNs.
func (p *pageCheck) records(from, to core.LSN) (all []core.LSN) {
	p.in.t.Helper()
	out, err := p.in.pg("pg_waldump", "-p", p.wal, "-s", from.String(), "-e", to.String())
	if err != nil {
		p.in.t.Fatal(err)
	}
	for _, m := range recordLine.FindAllStringSubmatch(out, -1) {
		lsn, err := core.ParseLSN(m[1])
		if err != nil {
			p.in.t.Fatal(err)
		}
		all = append(all, lsn)
	}
	return all
}

// recover is the cluster as plain PostgreSQL has it once it has replayed every
// record that begins before lsn.
func (p *pageCheck) recover(lsn core.LSN) *stock.Cluster {
	p.in.t.Helper()
	c := stock.Open(p.in.t, p.base.Dir)
	old, err := filepath.Glob(filepath.Join(c.Dir, "pg_wal", "0*"))
	if err != nil {
		p.in.t.Fatal(err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			p.in.t.Fatal(err)
		}
	}
	c.Append("recovery.signal", "")
	c.Append("postgresql.conf", fmt.Sprintf("restore_command = 'cp %s/%%f %%p'\nrecovery_target_lsn = '%s'\nrecovery_target_inclusive = off\n"+
		"recovery_target_action = promote\nrecovery_target_timeline = current\nhot_standby = off\n", p.wal, lsn))
	c.Single("postgres")
	return c
}

// A forkFile is one fork as a file of a recovered cluster.
type forkFile struct {
	rel    core.Rel
	path   string
	blocks int
}

// check compares n random pages as of lsn, and every VM page of user tables.
func (p *pageCheck) check(lsn core.LSN, n int) {
	p.in.t.Helper()
	c := p.recover(lsn)
	defer os.RemoveAll(c.Dir)
	forks := forkFiles(p.in.t, c.Dir)
	var user []forkFile
	for _, f := range forks {
		switch {
		case f.rel.Node < oldNode:
		case f.rel.Fork == core.VMFork:
			for blk := range f.blocks {
				p.compare(f, blk, lsn)
			}
		default:
			user = append(user, f)
		}
	}
	if len(user) == 0 {
		user = forks
	}
	for i := range n {
		// Most of the changes are in tables of users.
		f := user[p.rng.IntN(len(user))]
		if i%3 == 0 {
			f = forks[p.rng.IntN(len(forks))]
		}
		if f.blocks > 0 {
			p.compare(f, p.rng.IntN(f.blocks), lsn)
		}
		p.ends(f, lsn)
	}
}

// forkFiles are all main and VM forks that are not empty.
func forkFiles(t *testing.T, data string) (all []forkFile) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "base", "*", "[1-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, fork := filepath.Base(name), core.MainFork
		if v, ok := strings.CutSuffix(file, "_vm"); ok {
			file, fork = v, core.VMFork
		}
		node, err := strconv.ParseUint(file, 10, 32)
		if err != nil {
			continue // a free space map, or an init fork
		}
		db, err := strconv.ParseUint(filepath.Base(filepath.Dir(name)), 10, 32)
		if err != nil {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		// The file of a dropped relation stays empty until a checkpoint.
		if info.Size() > 0 {
			all = append(all, forkFile{core.Rel{Spc: core.DefaultTablespace, DB: core.OID(db), Node: core.OID(node), Fork: fork}, name, int(info.Size() / core.PageSize)})
		}
	}
	return all
}

// get is xenon page get.
func (p *pageCheck) get(f forkFile, blk int, lsn core.LSN) (string, error) {
	rel := fmt.Sprintf("%d/%d/%d", f.rel.Spc, f.rel.DB, f.rel.Node)
	return p.in.xenon("page", "get", "--branch", p.branch, "--rel", rel, "--fork", f.rel.Fork.String(), "--block", strconv.Itoa(blk), "--lsn", lsn.String())
}

func (p *pageCheck) compare(f forkFile, blk int, lsn core.LSN) {
	p.in.t.Helper()
	out, err := p.get(f, blk, lsn)
	if err != nil {
		p.in.t.Error(err)
		return
	}
	file, err := os.Open(f.path)
	if err != nil {
		p.in.t.Fatal(err)
	}
	defer file.Close()
	var ours, theirs redo.Page
	if _, err := file.ReadAt(theirs[:], int64(blk)*core.PageSize); err != nil {
		p.in.t.Fatal(err)
	}
	if copy(ours[:], out) != core.PageSize || len(out) != core.PageSize {
		p.in.t.Fatalf("page get printed %d bytes", len(out))
	}
	p.pages++
	if f.rel.Node == oldNode {
		p.again++
	}
	if f.rel.Fork == core.VMFork {
		p.vms++
		clear(ours[8:10]) // the checksum, which one side may leave out
		clear(theirs[8:10])
	} else {
		kind := managerOf(&theirs)
		redo.Mask(&ours, kind, uint32(blk))
		redo.Mask(&theirs, kind, uint32(blk))
	}
	for at := range ours {
		if ours[at] != theirs[at] {
			p.in.t.Errorf("%s block %d as of %s: byte %d is %#x, plain PostgreSQL has %#x", f.rel, blk, lsn, at, ours[at], theirs[at])
			return
		}
	}
}

// ends checks that there is nothing behind the last block.
func (p *pageCheck) ends(f forkFile, lsn core.LSN) {
	p.in.t.Helper()
	if _, err := p.get(f, f.blocks, lsn); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("has %d blocks", f.blocks)) {
		p.in.t.Errorf("%s has %d blocks as of %s; of the next one page get says %v", f.rel, f.blocks, lsn, err)
	}
}

// managerOf guesses from the special space whose page it is: a heap has none,
// a sequence a magic number (src/backend/commands/sequence.c), an index of
// this history is a btree.
func managerOf(p *redo.Page) wal.RmgrID {
	const sequenceMagic = 0x1717
	special := int(p[16]) | int(p[17])<<8
	switch {
	case special == core.PageSize:
		return wal.RmgrHeap
	case special == core.PageSize-8 && int(p[special])|int(p[special+1])<<8 == sequenceMagic:
		return wal.RmgrSeq
	}
	return wal.RmgrBtree
}
