package safekeeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wire"
	"xenon/core/wire/http1"
	"xenon/diskdrv"
	"xenon/realio"
)

// newcomer is the safekeeper that copies.
const newcomer = core.NodeID(4)

// generation is a configuration of members 1, 2, 3 and the newcomer, or without
// it.
func generation(g core.Generation, with bool) consensus.Configuration {
	c := consensus.Configuration{Generation: g, Members: conf.Members}
	if with {
		c.Members = append(c.Members[:3:3], consensus.Member{ID: newcomer, Host: "sk4", Port: 1})
	}
	return c
}

// arrive starts the newcomer on a view of a disk.
func arrive(t testing.TB, fs env.FS) (*rig, error) {
	real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	return bootAs(t, real, onDisk{real, fs}, safekeeper.Config{NodeID: newcomer})
}

func (r *rig) pull(g core.Generation, donors ...*rig) (s safekeeper.Standing, err error) {
	return r.pullOnto("", g, donors...)
}

// pullOnto asks for a copy on the disk of a name.
func (r *rig) pullOnto(disk string, g core.Generation, donors ...*rig) (s safekeeper.Standing, err error) {
	var from []consensus.Member
	for _, d := range donors {
		m, err := consensus.ParseMember(1, d.addr)
		if err != nil {
			return s, err
		}
		from = append(from, m)
	}
	err = http1.Call(r.real.Context(), r.e, r.addr, "POST", "/v1/pull_timeline", safekeeper.NewPullRequest(ttid, generation(g, true), from, disk), &s)
	return s, err
}

func (r *rig) put(what string, c consensus.Configuration) (s safekeeper.Standing, err error) {
	path := "/v1/tenant/" + ttid.Tenant.String() + "/timeline/" + ttid.Timeline.String() + "/" + what
	err = http1.Call(r.real.Context(), r.e, r.addr, "PUT", path, safekeeper.EncodeConfiguration(c), &s)
	return s, err
}

// refusedWith tells whether an answer has a status.
func refusedWith(err error, status int) bool {
	var s *http1.StatusError
	return errors.As(err, &s) && s.Status == status
}

// donor is a safekeeper with WAL, some of it not committed, and that WAL.
func donor(t testing.TB) (*rig, []byte) { return donorOn(t, newDisk(1)) }

func donorOn(t testing.TB, disk *diskdrv.Disk) (*rig, []byte) {
	t.Helper()
	r := start(t, disk, safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	b := w.records(40, 900) // more than one segment
	end := at + core.LSN(len(b))
	if _, err := p.append(1, at, b, at); err != nil {
		t.Fatal(err)
	}
	tail := w.records(3, 100)
	if a, err := p.append(1, end, tail, end); err != nil || a.Flush != end+core.LSN(len(tail)) || a.Commit != end {
		t.Fatalf("%+v, %v", a, err)
	}
	return r, append(b, tail...)
}

// copied checks that a copy has what its donor has.
func (r *rig) copied(from *rig, log []byte) error {
	a, b := from.status(), r.status()
	if b.Failed != "" || a.Flush != b.Flush || a.Commit != b.Commit || a.Acceptor.Term != b.Acceptor.Term || a.Acceptor.Epoch != b.Acceptor.Epoch {
		return fmt.Errorf("the donor is %+v, the copy is %+v", a, b)
	}
	got, err := r.readWAL(fmt.Sprintf("START_REPLICATION PHYSICAL %s (term='1', last_term='1')", startAt), wire.ClientConfig{TTID: ttid}, len(log))
	if err == nil && !bytes.Equal(got, log) {
		err = errors.New("the copy has other WAL")
	}
	return err
}

// TestPull: a copy is what its donor is, to the last byte that is flushed; it
// is there again after a restart, and to ask for it twice makes one.
func TestPull(t *testing.T) {
	from, log := donor(t)
	disk := newDisk(2)
	to, err := arrive(t, disk.FS(nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := to.pull(2, from)
		if err != nil {
			t.Fatal(err)
		}
		if s.Generation() != 2 || s.Term != 1 || s.Position() != (consensus.Position{Term: 1, Flush: from.status().Flush}) {
			t.Fatalf("%+v", s)
		}
	}
	if err := to.copied(from, log); err != nil {
		t.Error(err)
	}
	to.stop()
	disk.CutPower()
	if to, err = arrive(t, disk.FS(nil)); err != nil {
		t.Fatal(err)
	}
	if err := to.copied(from, log); err != nil {
		t.Errorf("after a power cut: %v", err)
	}
}

// TestPullOntoOneDisk: a copy is made on the disk that it was asked for, and on
// none that has taken its place.
func TestPullOntoOneDisk(t *testing.T) {
	from, _ := donor(t)
	to, err := arrive(t, newDisk(2).FS(nil))
	if err != nil {
		t.Fatal(err)
	}
	var was, is safekeeper.NodeStatus
	if err := http1.Call(to.real.Context(), to.e, to.addr, "GET", "/v1/status", nil, &was); err != nil || was.Disk == "" {
		t.Fatalf("%+v, %v", was, err)
	}
	to.stop()
	if to, err = arrive(t, newDisk(3).FS(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := to.pullOnto(was.Disk, 2, from); !refusedWith(err, 409) {
		t.Errorf("a copy for a disk that is gone: %v", err)
	}
	if err := http1.Call(to.real.Context(), to.e, to.addr, "GET", "/v1/status", nil, &is); err != nil || is.Disk == was.Disk {
		t.Fatalf("two disks are called %q (%v)", is.Disk, err)
	}
	if _, err := to.pullOnto(is.Disk, 2, from); err != nil {
		t.Errorf("a copy for this disk: %v", err)
	}
}

// pullCut makes a copy with a power cut at the n-th disk operation. The next
// start finds the copy whole or no trace of it, and can make it.
func pullCut(t testing.TB, from *rig, log []byte, n int, seed uint64) (over bool, err error) {
	disk := newDisk(seed)
	view := &trip{FS: disk.FS(nil), kind: cut, at: n}
	if to, err := arrive(t, view); err == nil {
		_, perr := to.pull(2, from)
		if over = !view.happened(); over && perr != nil {
			return over, perr
		}
		view.off()
		to.stop()
	}
	disk.CutPower()
	to, err := arrive(t, disk.FS(nil))
	if err != nil {
		return over, err
	}
	defer to.stop()
	if _, err := to.pull(2, from); err != nil {
		return over, err
	}
	return over, to.copied(from, log)
}

func TestPullCutAtEveryOperation(t *testing.T) {
	from, log := donor(t)
	stride := 3
	if os.Getenv("XENON_FULL") != "" {
		stride = 1
	}
	for n := 1; ; n += stride {
		over, err := pullCut(t, from, log, n, uint64(n))
		if err != nil {
			t.Fatalf("power cut at operation %d: %v", n, err)
		}
		if over {
			return
		}
	}
}

// comesAndGoes excludes the newcomer and takes it back, while requests of the
// past arrive again.
func comesAndGoes(t *testing.T, disk *diskdrv.Disk) error {
	from, log := donor(t)
	to, err := arrive(t, disk.FS(nil))
	if err != nil {
		return err
	}
	if _, err := to.put("exclude", generation(2, true)); !refusedWith(err, 400) {
		return fmt.Errorf("excluded by a configuration that has it: %v", err)
	}
	if _, err := to.pull(2, from); err != nil {
		return err
	}
	if _, err := to.put("exclude", generation(3, false)); err != nil {
		return err
	}
	if _, err := to.put("membership", generation(4, true)); !refusedWith(err, 404) {
		return fmt.Errorf("it is still there: %v", err)
	}
	to.stop()
	disk.CutPower()
	if to, err = arrive(t, disk.FS(nil)); err != nil {
		return err
	}
	defer to.stop()
	for _, g := range []core.Generation{2, 3} {
		if _, err := to.pull(g, from); !refusedWith(err, 409) {
			return fmt.Errorf("copied with generation %d after it was excluded with 3: %v", g, err)
		}
	}
	if _, err := to.pull(4, from); err != nil {
		return fmt.Errorf("taken back: %w", err)
	}
	for _, g := range []core.Generation{3, 4} {
		if _, err := to.put("exclude", generation(g, false)); !refusedWith(err, 409) {
			return fmt.Errorf("excluded with generation %d after it was taken back with 4: %v", g, err)
		}
	}
	return to.copied(from, log)
}

func TestExcludedAndTakenBack(t *testing.T) {
	if err := comesAndGoes(t, newDisk(5)); err != nil {
		t.Error(err)
	}
}

// TestDeletedIsNotCopied: a timeline that is gone for good gets no copy of any
// generation.
func TestDeletedIsNotCopied(t *testing.T) {
	from, _ := donor(t)
	to, err := arrive(t, newDisk(6).FS(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := to.remove(ttid); err != nil {
		t.Fatal(err)
	}
	if _, err := to.pull(9, from); !refusedWith(err, 410) {
		t.Errorf("%v", err)
	}
}

// TestOnlyItsOwnGenerationIsServed: once a configuration was put, a proposer of
// the one before is refused, and one that greets learns of the newer one.
func TestOnlyItsOwnGenerationIsServed(t *testing.T) {
	r := start(t, newDisk(7), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	s, err := r.put("membership", generation(2, true))
	if err != nil || s.Generation() != 2 || s.Term != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := p.append(1, at, newWAL(at, 0).records(1, 100), at); err == nil {
		t.Error("WAL of generation 1 is taken at generation 2")
	}
	if g := r.push().greet(); g.Config.Generation != 2 || !g.Config.Has(newcomer) {
		t.Errorf("the greeting has %s", g.Config)
	}
	if s, err := r.put("membership", conf); err != nil || s.Generation() != 2 {
		t.Errorf("after generation 1 was put again: %+v, %v", s, err)
	}
	if _, err := r.put("membership", generation(2, false)); !refusedWith(err, 409) {
		t.Errorf("another generation 2: %v", err)
	}
}

// nothingForAProposer has a proposer come to a safekeeper that does not have the
// timeline, though others do: it is refused, and none is made.
func nothingForAProposer(t *testing.T) error {
	from, _ := donor(t)
	to, err := arrive(t, newDisk(8).FS(nil))
	if err != nil {
		return err
	}
	here, err := consensus.ParseMember(me, from.addr)
	if err != nil {
		return err
	}
	members := consensus.Configuration{Generation: 1, Members: []consensus.Member{here, {ID: newcomer, Host: "sk4", Port: 1}}}
	p := to.push()
	p.send(wire.AppendProposerGreeting(nil, &consensus.ProposerGreeting{TTID: ttid, Config: members, Server: pg}), nil)
	if m, err := p.receive(); err == nil {
		return fmt.Errorf("greeted with %+v", m.Greeting)
	}
	if _, err := to.put("membership", generation(2, true)); !refusedWith(err, 404) {
		return fmt.Errorf("the timeline is there: %v", err)
	}
	return nil
}

func TestNothingForAProposer(t *testing.T) {
	if err := nothingForAProposer(t); err != nil {
		t.Error(err)
	}
}
