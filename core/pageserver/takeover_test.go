package pageserver_test

import (
	"fmt"
	"testing"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver"
	"xenon/core/register"
)

// TestTakenOverAnew: a pageserver that was superseded takes its timeline over
// again when it is told to serve it, whether it knows of the newer owner yet or
// not, and whether or not its layers fit what that one made of the timeline.
func TestTakenOverAnew(t *testing.T) {
	for _, fits := range []bool{true, false} {
		t.Run(fmt.Sprintf("fits=%t", fits), func(t *testing.T) { takenOverAnew(t, fits) })
	}
}

func takenOverAnew(t *testing.T, fits bool) {
	w := newWorld(t)
	s := longScript(t, w, 300)
	part := func(i int) core.LSN { return s.lsns[len(s.lsns)*i/4-1] }
	k := newKeeper(t, s, part(1))
	old := w.run(t, t.TempDir())
	old.attach(k)
	old.reaches(part(1))
	old.mustCheckpoint(true)
	now := w.run(t, t.TempDir())
	now.attach(k)
	if !fits {
		k.set(func() { k.commit = part(2) })
		now.reaches(part(2))
		now.mustCheckpoint(true)
	}
	// The older one has not looked yet, or has and has layers of its own.
	old.attach(k)
	k.set(func() { k.commit = part(3) })
	now.reaches(part(3))
	if err := old.checkpoint(true); err != nil && statusOf(err) != 409 && statusOf(err) != 503 {
		t.Errorf("a checkpoint of the older one: %v", err)
	}
	var info pageserver.TimelineInfo
	old.eventually("the older one owns the timeline", func() error {
		old.attach(k)
		old.attach(k) // a second time does no harm
		var err error
		info, err = old.timeline(testTimeline)
		if err == nil && (info.Superseded || info.Generation <= now.info().Generation) {
			err = fmt.Errorf("%+v", info)
		}
		return err
	})
	old.reaches(part(3))
	old.mustCheckpoint(true)
	if err := old.branch(testTimeline, timelineID(9), part(1), k.addr); err != nil {
		t.Errorf("a branch by the one that took the timeline over anew: %v", err)
	}
	now.reaches(part(3))
	if err := now.checkpoint(true); statusOf(err) != 409 {
		t.Errorf("a checkpoint of the other one: %v", err)
	}
	k.set(func() { k.commit = s.last() })
	old.reaches(s.last())
	old.mustCheckpoint(true)
	old.checkAll(s)
	now.checkAll(s)
	next := w.run(t, t.TempDir())
	next.attach(newKeeper(t, s, s.begin))
	next.reaches(s.last())
	next.checkAll(s)
}

// TestAttachedAgainAtOnce: a pageserver that does not know yet that it was
// superseded, as it has nothing to upload, takes its timeline over by one
// request to attach it.
func TestAttachedAgainAtOnce(t *testing.T) {
	old, owns := attachedAgain(t)
	old.eventually("the older one owns the timeline", owns)
}

// attachedAgain is a pageserver that was superseded unawares, and told once to
// serve its timeline; owns tells whether it has taken that over.
func attachedAgain(t *testing.T) (old *pserver, owns func() error) {
	w := newWorld(t)
	s := longScript(t, w, 100)
	k := newKeeper(t, s, s.last())
	old = w.run(t, t.TempDir())
	old.attach(k)
	old.reaches(s.last())
	old.mustCheckpoint(true)
	now := w.run(t, t.TempDir())
	now.attach(k)
	taken := now.info().Generation
	old.attach(k)
	return old, func() error {
		if info := old.info(); info.Generation <= taken || info.Superseded {
			return fmt.Errorf("it is at generation %d, superseded: %t; the other one took %d", info.Generation, info.Superseded, taken)
		}
		return nil
	}
}

// TestSupersededByNobody: a generation that this pageserver gave up comes into
// being behind its back. It takes the timeline over anew by itself; one of
// another pageserver stays where it is.
func TestSupersededByNobody(t *testing.T) {
	w := newWorld(t)
	s := longScript(t, w, 100)
	half := s.lsns[len(s.lsns)/2]
	k := newKeeper(t, s, half)
	p := w.run(t, t.TempDir())
	p.attach(k)
	p.reaches(half)
	p.mustCheckpoint(true)
	had := p.info().Generation
	mint := func(who string) {
		t.Helper()
		at := layer.TimelinePrefix(testTimeline, core.Unsharded)
		if _, err := register.Mint(p.env.Context(), p.env, at, []byte(who)); err != nil {
			t.Fatal(err)
		}
	}
	mint("pageserver-7")
	k.set(func() { k.commit = s.last() })
	p.reaches(s.last())
	p.eventually("it owns the timeline", func() error { return p.checkpoint(true) })
	if info := p.info(); info.Generation != had+2 || info.Superseded || info.RemoteConsistent != s.last() {
		t.Errorf("after a generation of its own: %+v", info)
	}
	mint("pageserver-8")
	if err := p.branch(testTimeline, timelineID(9), half, k.addr); statusOf(err) != 409 {
		t.Errorf("a branch after a generation of another: %v", err)
	}
	if info := p.info(); info.Generation != had+2 || !info.Superseded {
		t.Errorf("after a generation of another: %+v", info)
	}
	p.attach(k)
	p.eventually("it owns the timeline", func() error { return p.branch(testTimeline, timelineID(9), half, k.addr) })
	p.checkAll(s)
}
