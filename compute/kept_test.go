package compute_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"xenon/compute"
	"xenon/compute/vfs"
	"xenon/core/env"
)

const (
	auto = "postgresql.auto.conf"
	hba  = "pg_hba.conf"
)

// keeps checks both settings files of the server that a host runs.
func (l *life) keeps(h *computeHost, wantAuto, wantHBA string) {
	l.t.Helper()
	l.until("a server", time.Minute, h.ready)
	for name, want := range map[string]string{auto: wantAuto, hba: wantHBA} {
		if err := l.order(h, func(s *server) error { return s.has(name, want) }); err != nil {
			l.t.Error(err)
		}
	}
}

// TestKeptSettings: what users set outlives the server, the process and the
// machine; until they do, the configuration's files are there.
func TestKeptSettings(t *testing.T) {
	l := newLife(t, 20)
	a, b := l.hosts[0], l.hosts[1]
	b.takeover = true
	const ours = "local all all trust\n"
	l.working(a)
	l.keeps(a, "", ours)
	set := func(h *computeHost, name, content string) {
		t.Helper()
		if err := l.order(h, func(s *server) error { return s.set(name, content) }); err != nil {
			t.Fatal(err)
		}
	}
	set(a, auto, "work_mem = '1MB'\n")
	a.server.die("signal 9")
	l.until("its end", time.Second, func() bool { return !a.ready() })
	l.keeps(a, "work_mem = '1MB'\n", ours)
	set(a, auto, "work_mem = '2MB'\n")
	if err := l.order(a, func(s *server) error { return s.data.WriteFile(s.ctx, hba, []byte("in place\n")) }); err != nil {
		t.Fatal(err)
	}
	a.proc.Kill()
	a.start()
	l.keeps(a, "work_mem = '2MB'\n", "in place\n")
	a.proc.PowerCut()
	b.start()
	l.keeps(b, "work_mem = '2MB'\n", "in place\n")
	set(b, auto, "")
	b.ep.Stop()
	l.stopped(b, time.Minute)
	a.start()
	l.keeps(a, "", "in place\n")
}

// TestKeptByTheSuperseded: an endpoint that does not know yet that it was
// superseded cannot change the branch's settings any more.
func TestKeptByTheSuperseded(t *testing.T) {
	l := newLife(t, 21)
	older, newer := l.hosts[0], l.hosts[1]
	newer.takeover = true
	l.working(older)
	if err := l.order(older, func(s *server) error { return s.set(auto, "both\n") }); err != nil {
		t.Fatal(err)
	}
	older.idle = true
	l.pass(time.Second)
	l.w.Partition([]string{"host1"}, []string{"sk1", "sk2", "sk3"})
	newer.start()
	l.until("start", time.Minute, newer.ready)
	err := l.order(older, func(s *server) error { return s.set(auto, "older\n") })
	if err == nil || vfs.ErrnoOf(err) != vfs.EIO || !strings.Contains(err.Error(), "epoch 2 has taken it over") {
		t.Errorf("the older one's settings: %v", err)
	}
	if err := l.order(newer, func(s *server) error { return s.set(hba, "newer\n") }); err != nil {
		t.Errorf("the newer one's settings: %v", err)
	}
	if err := l.order(older, func(s *server) error { return s.set(hba, "older\n") }); err == nil {
		t.Error("the older one overwrites the newer one's settings")
	}
	newer.server.die("signal 9")
	l.until("its end", time.Second, func() bool { return !newer.ready() })
	l.keeps(newer, "both\n", "newer\n")
}

// TestKeepWithoutStore: a change of settings is an error while it cannot be
// kept, and no hang; the next one is kept, also if it takes the change back.
func TestKeepWithoutStore(t *testing.T) {
	l := newLife(t, 22)
	h := l.hosts[0]
	l.working(h)
	set := func(content string) error {
		return l.order(h, func(s *server) error { return s.set(auto, content) })
	}
	if err := set("a\n"); err != nil {
		t.Fatal(err)
	}
	l.bucket.SetOutage(true)
	if err := set("b\n"); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("without a store: %v", err)
	}
	l.commits(5)
	l.bucket.SetOutage(false)
	if err := set("a\n"); err != nil {
		t.Error(err)
	}
	h.server.die("signal 9")
	l.until("its end", time.Second, func() bool { return !h.ready() })
	l.keeps(h, "a\n", "local all all trust\n")
}

// TestKeepFile: a branch can be given settings before anybody runs it.
func TestKeepFile(t *testing.T) {
	l := newLife(t, 23)
	l.in(func(ctx context.Context, e env.Env) error {
		return compute.KeepFile(ctx, e, "main", auto, []byte("imported\n"))
	})
	l.working(l.hosts[0])
	l.keeps(l.hosts[0], "imported\n", "local all all trust\n")
}
