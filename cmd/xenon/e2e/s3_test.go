package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core/pageserver"
	"xenon/internal/versity"
)

// bucket is the --remote of an installation in a bucket of the server at url.
func bucket(url, prefix string) []string {
	return []string{"--remote", "s3://bucket/" + prefix + "?endpoint=" + url}
}

// s3Server is a real S3 server with a bucket, whose credentials are in the
// environment of the test.
func s3Server(t *testing.T) *versity.Server {
	t.Helper()
	needs(t)
	versity.Setenv(t)
	return versity.Start(t, "bucket")
}

// TestS3 is a life in a bucket: the place is kept, nobody else gets it, and it
// is not left for another.
func TestS3(t *testing.T) {
	server := s3Server(t)
	in := install(t, bucket(server.URL, "one")...)
	in.psql("main", "CREATE TABLE t (n int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 5000)")
	in.must("branch", "create", "dev")
	in.psql("dev", "DELETE FROM t WHERE n % 2 = 0")
	if names, err := os.ReadDir(filepath.Join(in.dir, "objects")); err == nil {
		t.Errorf("there is a directory of objects as well: %v", names)
	}
	// A name with a dot in front is the server's own.
	files, err := filepath.Glob(filepath.Join(server.Dir, "bucket", "[^.]*"))
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "one" {
		t.Errorf("the bucket has %v, %v, and not the prefix alone", files, err)
	}

	// Whoever may run code in the server must not find the bucket's keys there.
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", in.endpoint("main").Postmaster))
	if err != nil || strings.Contains(string(environ), versity.SecretKey) {
		t.Errorf("the server's environment has the bucket's keys, or cannot be read: %v", err)
	}

	refused := func(what string, args []string, says ...string) {
		t.Helper()
		cmd := append([]string{"up", "--dir", filepath.Join(workDir(t), "y")}, args...)
		refusal{what, cmd, 1, says}.check(t, nil)
	}
	refused("the place of another", bucket(server.URL, "one"), "belongs to another installation", in.dir)
	refused("no such bucket", []string{"--remote", "s3://nothing/one?endpoint=" + server.URL}, "no such bucket")
	refused("nobody there", bucket("http://127.0.0.1:1", "one"), "is it running")

	in.must("stop")
	refusal{"another place", append([]string{"up", "--dir", in.dir}, bucket(server.URL, "two")...), 1, []string{"bucket/one", "bucket/two", "--remote"}}.check(t, nil)
	in.args = nil // it is kept
	in.start()
	if got := in.psql("main", "SELECT count(*), sum(n) FROM t"); got != "5000|12502500" {
		t.Errorf("main after a restart: %s", got)
	}
	if got := in.psql("dev", "SELECT count(*), sum(n) FROM t"); got != "2500|6250000" {
		t.Errorf("dev after a restart: %s", got)
	}
}

// A bench is a pgbench that runs.
type bench struct {
	t    *testing.T
	done chan struct{}
	out  string
	err  error
}

// pgbench runs pgbench's own transactions for a while.
func (in *installation) pgbench(clients int, d time.Duration) *bench {
	in.t.Helper()
	b := &bench{t: in.t, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.out, b.err = in.pg("pgbench", "-n", "-c", strconv.Itoa(clients), "-T", strconv.Itoa(int(d/time.Second)), in.url)
	}()
	in.t.Cleanup(func() { <-b.done })
	return b
}

var failedTransactions = regexp.MustCompile(`number of failed transactions: (\d+)`)

// check waits for the end and checks that no transaction failed.
func (b *bench) check() {
	b.t.Helper()
	select {
	case <-b.done:
	case <-time.After(10 * patience):
		b.t.Fatal("pgbench does not end")
	}
	m := failedTransactions.FindStringSubmatch(b.out)
	if b.err != nil || m == nil || m[1] != "0" {
		b.t.Errorf("pgbench: %v\n%s", b.err, b.out)
	}
}

// mainPath is where the pageserver tells about main.
func (in *installation) mainPath() string {
	in.t.Helper()
	s := in.status()
	for _, b := range s.Branches {
		if b.Name == "main" {
			return fmt.Sprintf("http://%s/v1/tenant/%s/timeline/%s", s.Pageservers[0].Listen, b.Tenant, b.Timeline)
		}
	}
	in.t.Fatal("no branch main")
	return ""
}

// pageserver asks the pageserver's management interface about main.
func (in *installation) pageserver(method, query string, out any) error {
	in.t.Helper()
	return askHTTP(method, in.mainPath()+query, out)
}

// askHTTP makes a request and decodes the answer.
func askHTTP(method, url string, out any) error {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s %w", method, url, r.Status, body, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(bytes.TrimSpace(body), out)
}

// mainOn is main on the pageserver.
func (in *installation) mainOn() (tl ctl.PageserverTL, commit string) {
	in.t.Helper()
	s := in.status()
	for _, b := range s.Branches {
		for _, tl := range s.Pageservers[0].Timelines {
			if b.Name == "main" && tl.Timeline == b.Timeline {
				return tl, b.CommitLSN.String()
			}
		}
	}
	in.t.Fatal("the pageserver does not have main")
	return tl, ""
}

// TestBadStore: of a store of which every twentieth answer is spoilt, and that
// is gone for a while, clients see nothing but that some things take longer.
func TestBadStore(t *testing.T) {
	server := s3Server(t)
	proxy := versity.NewProxy(t, server.URL)
	proxy.Spoil(50)
	in := install(t, append(bucket(proxy.URL, "one"), "--processes")...)
	in.pgbenchInit(1)
	outage := time.Duration(sized(8, 60)) * time.Second
	b := in.pgbench(2, outage+time.Duration(sized(8, 30))*time.Second)
	flush := func() {
		t.Helper()
		if err := in.pageserver("PUT", "/checkpoint", nil); err != nil {
			t.Error(err)
		}
	}
	halt := in.flushOften()
	defer halt()
	time.Sleep(2 * time.Second)

	proxy.Down(true)
	down := time.Now()
	flush()
	before, _ := in.mainOn()
	eventually(t, "a line that says what waits for the store", func() bool {
		return regexp.MustCompile(`pageserver 1.*object store`).MatchString(strings.Join(in.status().Notes, "\n"))
	})
	t.Logf("status: %s", strings.Join(in.status().Notes, "\n"))
	// One that starts now serves and takes in what it can from its directory.
	in.killPageserver()
	eventually(t, "ingest by a pageserver that cannot reach the store", func() bool {
		now, _ := in.mainOn()
		return now.LastRecordLSN > before.LastRecordLSN
	})
	// For the rest of the time connections are taken, and nothing comes back.
	server.Freeze()
	proxy.Down(false)
	time.Sleep(outage - time.Since(down))
	if during, _ := in.mainOn(); during.RemoteConsistentLSN > before.RemoteConsistentLSN || during.LastRecordLSN <= before.LastRecordLSN {
		t.Errorf("in the outage the pageserver went from %+v to %+v", before, during)
	}
	server.Thaw()

	b.check()
	in.checkSums()
	halt()
	flush()
	eventually(t, "uploads of all there is", func() bool {
		tl, _ := in.mainOn()
		return tl.RemoteConsistentLSN > before.LastRecordLSN && tl.RemoteConsistentLSN >= tl.DiskConsistentLSN
	})
	eventually(t, "nothing that waits", func() bool { return in.status().Pageservers[0].Waits == "" })
	spoilt, all := proxy.Struck()
	if spoilt < max(1, all/20-1) {
		t.Errorf("only %d of %d requests were spoilt", spoilt, all)
	}
	t.Logf("%d of %d requests were spoilt", spoilt, all)
}

// flushOften makes the pageserver write a layer of main every second or so,
// and so upload it, until halt.
func (in *installation) flushOften() (halt func()) {
	main := in.mainPath()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
				_ = askHTTP("PUT", main+"/checkpoint", nil) // it may be away
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop); <-stopped })
}

// stores are the places that an installation may have its objects in.
var stores = []struct {
	name    string
	args    func(*testing.T) []string
	running bool // the pageserver's directory goes while it runs
}{
	{"a directory", func(*testing.T) []string { return nil }, false},
	{"a bucket", func(t *testing.T) []string { return bucket(s3Server(t).URL, "one") }, true},
}

// sums are answers that depend on every page of pgbench's tables.
const sums = `SELECT (SELECT sum(hashtext(a::text)::bigint) FROM pgbench_accounts a), (SELECT sum(hashtext(t::text)::bigint) FROM pgbench_tellers t),
	(SELECT sum(hashtext(b::text)::bigint) FROM pgbench_branches b), (SELECT sum(hashtext(h::text)::bigint) FROM pgbench_history h)`

// TestPageserverFromStore takes the pageserver's directory away: what was
// uploaded comes back from the store, and no WAL is read that is older.
func TestPageserverFromStore(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			in := install(t, append(store.args(t), "--processes")...)
			in.pgbenchInit(1)
			in.pgbench(2, 3*time.Second).check()
			in.must("branch", "create", "dev")
			in.psql("dev", "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 7 = 0")
			in.psql("main", "UPDATE pgbench_accounts SET abalance = abalance - 1 WHERE aid % 5 = 0")
			if err := in.pageserver("PUT", "/checkpoint?wait_upload=true", nil); err != nil {
				t.Fatal(err)
			}
			in.psql("main", "UPDATE pgbench_tellers SET tbalance = tbalance + 1")
			want := map[string]string{"main": in.psql("main", sums), "dev": in.psql("dev", sums)}
			stored, _ := in.mainOn()

			if !store.running {
				in.signal(syscall.SIGTERM)
				in.await()
			}
			in.lose("pageserver-1")
			if store.running {
				in.killPageserver()
				in.killPostmaster("main") // and with it the pages it has
				in.killPostmaster("dev")
			} else {
				in.start()
			}
			for branch, sum := range want {
				if got := in.psql(branch, sums); got != sum {
					t.Errorf("%s: %s, it was %s", branch, got, sum)
				}
			}
			now, _ := in.mainOn()
			if now.RemoteConsistentLSN < stored.RemoteConsistentLSN {
				t.Errorf("remote_consistent_lsn went from %s to %s", stored.RemoteConsistentLSN, now.RemoteConsistentLSN)
			}
			in.readNoOldWAL(stored)
			e := in.endpoint("main")
			if out, err := in.pg("pg_amcheck", "--all", "--install-missing", "-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// readNoOldWAL checks that the pageserver asked safekeepers for no WAL of main
// below what had been stored.
func (in *installation) readNoOldWAL(stored ctl.PageserverTL) {
	in.t.Helper()
	var info pageserver.TimelineInfo
	if err := in.pageserver("GET", "", &info); err != nil {
		in.t.Fatal(err)
	}
	if began := info.Receiver.Began; began < stored.RemoteConsistentLSN || began == 0 {
		in.t.Errorf("WAL was read from %s on, although %s was stored", began, stored.RemoteConsistentLSN)
	}
}

// killPageserver kills the process of the pageserver and waits for the next.
func (in *installation) killPageserver() {
	in.t.Helper()
	pid := in.status().Pageservers[0].PID
	kill(in.t, pid)
	eventually(in.t, "another pageserver", func() bool {
		now := in.status().Pageservers[0].PID
		return now != 0 && now != pid
	})
}

// TestPageserverKilled kills the pageserver at random moments under load and
// while branches are made: no transaction fails, and every page is right.
func TestPageserverKilled(t *testing.T) {
	in := install(t, append(stores[1].args(t), "--processes")...)
	in.pgbenchInit(1)
	kills := sized(5, 50)
	b := in.pgbench(2, time.Duration(kills*5)*time.Second)
	var branches []string
	for n := range kills {
		name := fmt.Sprintf("b%d", n)
		made := make(chan error, 1)
		go func() {
			_, err := in.xenon("branch", "create", name)
			made <- err
		}()
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		in.killPageserver()
		// A branch whose making was interrupted is made, or it is not there.
		if err := <-made; err == nil {
			branches = append(branches, name)
		} else {
			t.Logf("branch %s: %v", name, err)
		}
	}
	b.check()
	in.checkSums()
	if len(branches) == 0 {
		t.Error("no branch was made")
	}
	for _, name := range branches[max(0, len(branches)-3):] {
		got := in.psql(name, `SELECT count(DISTINCT s) FROM (SELECT sum(abalance) AS s FROM pgbench_accounts
			UNION ALL SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches
			UNION ALL SELECT coalesce(sum(delta), 0) FROM pgbench_history) AS sums`)
		if got != "1" {
			t.Errorf("branch %s: the sums of pgbench's tables differ", name)
		}
	}
	e := in.endpoint("main")
	if out, err := in.pg("pg_amcheck", "--all", "--install-missing", "-h", e.Host, "-p", strconv.Itoa(e.Port), "-U", "postgres"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
