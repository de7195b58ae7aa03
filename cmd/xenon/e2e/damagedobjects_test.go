package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/ctl"
)

// TestDamagedObjects damages what a branch has in the object store, one object
// at a time, under a pageserver that has lost its directory. Whoever asks is
// told which object it is and never gets a wrong answer; once the object is
// back, so is the branch.
func TestDamagedObjects(t *testing.T) {
	in := install(t)
	in.must("branch", "create", "shop")
	in.psql("shop", "CREATE TABLE t AS SELECT n, md5(n::text) AS text FROM generate_series(1, 20000) n")
	in.must("endpoint", "stop", "shop")
	main, shop := in.branch("main"), in.branch("shop")
	for _, b := range []ctl.Branch{main, shop} {
		url := fmt.Sprintf("http://%s/v1/tenant/%s/timeline/%s/checkpoint?wait_upload=true", in.status().Pageservers[0].Listen, b.Tenant, b.Timeline)
		if err := askHTTP("PUT", url, nil); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(name string) error {
		spoil(t, name, size(t, name)*3/4)
		return nil
	}
	cut := func(name string) error { return os.Truncate(name, size(t, name)/2) }
	for _, test := range []struct {
		name    string
		branch  ctl.Branch
		object  string
		damage  func(name string) error
		refuses func(*object)
	}{
		{"a byte of a layer", shop, "layers/*", flip, in.refusesPages},
		{"half a layer", shop, "layers/*", cut, in.refusesBranch},
		{"a byte of the index", shop, "index-*", flip, in.refusesBranch},
		{"no layer of main", main, "layers/*", os.Remove, in.refusesMain},
	} {
		t.Log(test.name)
		in.halt()
		o := in.damageObject(test.branch, test.object, test.damage)
		test.refuses(o)
		in.tellsAll(o)
	}
}

// An object is one of a branch that is damaged.
type object struct {
	key   string // as far as a person needs it to find it
	file  string
	whole []byte
}

// damageObject damages the newest object of a branch that fits a pattern, and
// takes the pageserver's directory away, which may have a copy.
func (in *installation) damageObject(b ctl.Branch, pattern string, damage func(name string) error) *object {
	in.t.Helper()
	in.lose("pageserver-1")
	objects := filepath.Join(in.dir, "objects", "objects")
	files, err := filepath.Glob(filepath.Join(objects, "tenants", "*", "timelines", b.Timeline.String(), pattern))
	if err != nil || len(files) == 0 {
		in.t.Fatalf("branch %s has no object %s: %v", b.Name, pattern, err)
	}
	o := &object{file: files[len(files)-1]}
	o.key = strings.TrimSuffix(strings.TrimPrefix(o.file, objects+"/"), ".obj")
	if o.whole, err = os.ReadFile(o.file); err == nil {
		err = damage(o.file)
	}
	if err != nil {
		in.t.Fatal(err)
	}
	return o
}

func (o *object) restore(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(o.file, o.whole, 0o600); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// names checks that an error is one, and names the object.
func (in *installation) names(o *object, what string, err error) {
	in.t.Helper()
	if err == nil || !strings.Contains(err.Error(), o.key) {
		in.t.Errorf("%s: %v, want an error that names %s", what, err, o.key)
	}
}

const shopSum = "SELECT count(*), sum(n) FROM t"

// refusesPages: the branch is there, all but some pages.
func (in *installation) refusesPages(o *object) {
	in.t.Helper()
	in.start()
	// The pageserver, which knows nothing, may not have been told of the branch yet.
	eventually(in.t, "export to name "+o.key, func() bool {
		_, err := in.xenon("export", "shop", filepath.Join(workDir(in.t), "data"))
		return err != nil && strings.Contains(err.Error(), o.key)
	})
	_, err := in.xenon("psql", "shop", "-c", shopSum)
	if err == nil || !strings.Contains(err.Error(), "could not read block") {
		in.t.Errorf("psql: %v", err)
	}
	if !strings.Contains(in.log.String(), o.key) {
		in.t.Errorf("the log does not name %s", o.key)
	}
	o.restore(in.t)
}

// refusesBranch: the branch cannot be served. Whoever waits for it gets it
// once the object is back.
func (in *installation) refusesBranch(o *object) {
	in.t.Helper()
	in.start()
	eventually(in.t, "a note that names "+o.key, func() bool { return strings.Contains(strings.Join(in.status().Notes, "\n"), o.key) })
	_, err := in.xenon("page", "get", "--branch", "shop", "--rel", "1663/5/1259")
	in.names(o, "page get", err)
	_, err = in.xenon("export", "shop", filepath.Join(workDir(in.t), "data"), "--wait", "1s")
	in.names(o, "export", err)

	var out, said lockedBuffer
	psql := exec.Command(bin(in.t), "psql", "shop", "-c", shopSum, "--dir", in.dir)
	psql.Stdout, psql.Stderr = &out, &said
	if err := psql.Start(); err != nil {
		in.t.Fatal(err)
	}
	eventually(in.t, "psql to say what it waits for", func() bool { return strings.Contains(said.String(), o.key) })
	o.restore(in.t)
	ended := make(chan error, 1)
	go func() { ended <- psql.Wait() }()
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(out.String(), "200010000") {
			in.t.Errorf("psql that waited: %v\n%s\n%s", err, out.String(), said.String())
		}
	case <-time.After(patience):
		psql.Process.Kill()
		in.t.Errorf("psql still waits: %s", said.String())
	}
}

// refusesMain: the installation does not start, and says why.
func (in *installation) refusesMain(o *object) {
	in.t.Helper()
	in.names(o, "up", in.tryStart())
	o.restore(in.t)
	in.start()
}

// tellsAll: nothing was lost.
func (in *installation) tellsAll(o *object) {
	in.t.Helper()
	if got := in.psql("shop", shopSum); got != "20000|200010000" {
		in.t.Errorf("with %s back: %s", o.key, got)
	}
}

// A lockedBuffer is what a process says, for one who reads while it runs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
