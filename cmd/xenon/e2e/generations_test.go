package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
	"xenon/core/pageserver"
	"xenon/core/pageserver/remote"
	"xenon/realio"
)

// A shared timeline is main, which two pageservers are told to serve.
type shared struct {
	*deployment
	id   core.TTID
	keep []string          // safekeepers
	at   map[string]string // role -> address of pageservers
}

var tomlAddress = regexp.MustCompile(`(?m)^listen = .*$`)

// second makes the configuration of another pageserver over the same objects,
// and of a directory of its own.
func (d *shared) second() {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.at["pageserver-2"] = l.Addr().String()
	l.Close()
	b, err := os.ReadFile(filepath.Join(d.in.dir, "conf", "pageserver-1.toml"))
	if err != nil {
		d.t.Fatal(err)
	}
	b = tomlAddress.ReplaceAll(b, fmt.Appendf(nil, "listen = '%s'", d.at["pageserver-2"]))
	b = regexp.MustCompile(`(?m)^id = 1$`).ReplaceAll(b, []byte("id = 2"))
	b = bytes.ReplaceAll(b, []byte(filepath.Join(d.in.dir, "pageserver-1")), []byte(filepath.Join(d.in.dir, "pageserver-2")))
	if err := os.WriteFile(filepath.Join(d.in.dir, "conf", "pageserver-2.toml"), b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { d.terminate("pageserver-2") })
}

// ask sends a request about main to a pageserver.
func (d *shared) ask(role, method, route string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://"+d.at[role]+"/v1/tenant/"+d.id.Tenant.String()+"/timeline"+route, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if err == nil && r.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", r.Status, body)
	}
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(body, out)
}

func (d *shared) info(role string) (info pageserver.TimelineInfo, err error) {
	err = d.ask(role, "GET", "/"+d.id.Timeline.String(), nil, &info)
	return info, err
}

// attach tells a pageserver to serve main.
func (d *shared) attach(role string) {
	d.t.Helper()
	eventually(d.t, role+" to serve main", func() bool {
		return d.ask(role, "POST", "", pageserver.AttachRequest{Timeline: d.id.Timeline, Safekeepers: d.keep}, nil) == nil
	})
}

// store flushes what a pageserver has, and waits until it is in the object
// store.
func (d *shared) store(role string) error {
	return d.ask(role, "PUT", "/"+d.id.Timeline.String()+"/checkpoint?wait_upload=true", nil, nil)
}

// mustStore is store that works, and returns what the pageserver then says.
func (d *shared) mustStore(role string) pageserver.TimelineInfo {
	d.t.Helper()
	if err := d.store(role); err != nil {
		d.t.Fatalf("%s: %v", role, err)
	}
	info, err := d.info(role)
	if err != nil {
		d.t.Fatal(err)
	}
	return info
}

// writer inserts one number after the other until stop is closed, and tells how
// many were acknowledged.
func writer(t *testing.T, e ctl.Endpoint, stop <-chan struct{}) (done <-chan int64, acked *atomic.Int64) {
	s := dial(t, e)
	ended := make(chan int64, 1)
	acked = new(atomic.Int64)
	go func() {
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				ended <- n - 1
				return
			default:
			}
			if _, err := s.Query(fmt.Sprintf("INSERT INTO numbers VALUES (%d, repeat('x', 100))", n)); err != nil {
				t.Errorf("insert %d: %v", n, err)
				ended <- n - 1
				return
			}
			acked.Store(n)
		}
	}()
	return ended, acked
}

// TestStalledPageserver: a pageserver that was stopped while another one took
// its timeline over learns that when it is woken: it stores nothing more, goes
// on serving, and nothing that the newer one needs is lost. A third one has
// everything from the object store.
func TestStalledPageserver(t *testing.T) {
	in := install(t, "--processes")
	b := in.branch("main")
	listen := in.status().Pageservers[0].Listen
	in.must("stop")
	in.await()
	d := &shared{deployment: in.runRoles(), id: core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}, at: map[string]string{"pageserver-1": listen}}
	d.second()
	e := d.endpoint()
	query(t, dial(t, e), "CREATE TABLE numbers (n int PRIMARY KEY, pad text)")
	before := d.mustStore("pageserver-1")
	d.keep = before.Safekeepers
	if before.Generation == 0 || before.RemoteConsistent != before.DiskConsistent {
		t.Fatalf("the first pageserver: %+v", before)
	}
	stop := make(chan struct{})
	ended, acked := writer(t, e, stop)
	more := func(n int64) {
		t.Helper()
		from := acked.Load()
		eventually(t, "more rows", func() bool { return acked.Load() >= from+n })
	}
	more(200)
	d.mustStore("pageserver-1")
	more(50)

	one := d.runs["pageserver-1"].Process.Pid
	freeze(t, one)
	d.run("pageserver-2")
	d.attach("pageserver-2")
	two := d.mustStore("pageserver-2")
	if two.Generation <= before.Generation || two.RemoteConsistent < before.RemoteConsistent {
		t.Errorf("the second pageserver: %+v", two)
	}
	if err := syscall.Kill(one, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	more(200)
	eventually(t, "the first pageserver to learn", func() bool {
		err := d.store("pageserver-1")
		return err != nil && strings.Contains(err.Error(), "409") && strings.Contains(err.Error(), remote.ErrSuperseded.Error())
	})
	if info, err := d.info("pageserver-1"); err != nil || !info.Superseded || info.State != "Active" {
		t.Errorf("the first pageserver: %+v, %v", info, err)
	}
	more(100)
	close(stop)
	rows := <-ended
	sum := fmt.Sprint(rows * (rows + 1) / 2)
	if got := query(t, dial(t, e), "SELECT sum(n) FROM numbers"); got != sum {
		t.Errorf("the sum is %s, want %s", got, sum)
	}
	d.terminate("compute-main")
	last := d.mustStore("pageserver-2")
	for _, role := range []string{"pageserver-1", "pageserver-2"} {
		d.kill(role)
		if err := os.RemoveAll(filepath.Join(in.dir, role)); err != nil {
			t.Fatal(err)
		}
	}
	if x := d.allThere(); x.Generation != last.Generation || x.DiskConsistent.LSN != last.RemoteConsistent {
		t.Errorf("the newest index is of generation %d up to %s, want %d and %s", x.Generation, x.DiskConsistent.LSN, last.Generation, last.RemoteConsistent)
	}
	d.run("pageserver-1")
	d.attach("pageserver-1")
	if info, err := d.info("pageserver-1"); err != nil || info.Resumed != last.RemoteConsistent {
		t.Errorf("the third pageserver went on at %s, want %s (%v)", info.Resumed, last.RemoteConsistent, err)
	}
	d.run("compute-main")
	if got := query(t, dial(t, d.endpoint()), "SELECT sum(n) FROM numbers"); got != sum {
		t.Errorf("from the object store the sum is %s, want %s", got, sum)
	}
}

// allThere checks that the newest index names only what is there.
func (d *shared) allThere() *remote.Index {
	d.t.Helper()
	objects, err := realio.DirStore(filepath.Join(d.in.dir, "objects"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer objects.Close()
	e := realio.New(realio.Options{Objects: objects})
	defer e.Close()
	x, err := remote.Peek(d.t.Context(), e, d.id)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, l := range x.Layers {
		meta, err2 := objects.Head(d.t.Context(), x.Object(l))
		if err2 == nil && meta.Size != l.Size {
			err2 = fmt.Errorf("it has %d bytes, the index says %d", meta.Size, l.Size)
		}
		err = errors.Join(err, err2)
	}
	if err != nil {
		d.t.Error(err)
	}
	return x
}
