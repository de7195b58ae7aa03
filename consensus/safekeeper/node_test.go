package safekeeper_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/wire"
)

func TestAppendFlushServe(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	var all []byte
	for range 30 {
		b := w.records(40, 4000) // several segments in all, messages across their ends
		for len(b) > 0 {
			n := min(len(b), consensus.MaxAppend)
			resp, err := p.append(1, at+core.LSN(len(all)), b[:n], 0)
			if err != nil {
				t.Fatal(err)
			}
			all, b = append(all, b[:n]...), b[n:]
			if end := at + core.LSN(len(all)); len(b) == 0 && resp.Flush != end {
				t.Fatalf("flush LSN %s, want %s", resp.Flush, end)
			}
		}
	}
	end := at + core.LSN(len(all))
	if resp, err := p.append(1, end, nil, end); err != nil || resp.Commit != end {
		t.Fatalf("commit LSN %s, %v; want %s", resp.Commit, err, end)
	}
	got, err := r.readWAL(startReplication(at), wire.ClientConfig{}, len(all))
	if err != nil || !bytes.Equal(got, all) {
		t.Fatalf("read %d bytes of WAL, %v; want the %d that were appended", len(got), err, len(all))
	}
	if s := r.status(); s.Flush != end || s.Commit != end || s.Acceptor.Term != 1 || s.Receivers != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestRecoveryReadIsBoundToItsTerm(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(3)
	b := newWAL(at, 0).records(10, 500)
	if _, err := p.append(3, at, b, 0); err != nil {
		t.Fatal(err)
	}
	got, err := r.readWAL(startReplication(at)+" (term='3')", wire.ClientConfig{}, len(b))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("recovery read %d bytes, %v; want %d", len(got), err, len(b))
	}
	if _, err := r.readWAL(startReplication(at)+" (term='2')", wire.ClientConfig{}, len(b)); err == nil || !strings.Contains(err.Error(), "recovery of term 2") {
		t.Fatalf("recovery of another term: %v", err)
	}
	// The term of a running recovery ends: so does it.
	c := r.connect(wire.ClientConfig{TTID: ttid})
	if err := c.CopyBoth(startReplication(at+core.LSN(len(b))) + " (term='3')"); err != nil {
		t.Fatal(err)
	}
	q := r.push()
	q.greet()
	q.vote(4)
	for {
		if _, err := c.ReadCopy(); err != nil {
			if !strings.Contains(err.Error(), "recovery of term 3") {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestRestartKeepsPromisesAndWAL(t *testing.T) {
	for _, how := range []string{"killed", "power"} {
		t.Run(how, func(t *testing.T) {
			disk := newDisk(2)
			r := start(t, disk, safekeeper.Limits{})
			r.mustCreate()
			p := r.push()
			at := p.lead(5)
			b := newWAL(at, 0).records(100, 4000)
			for off := 0; off < len(b); off += consensus.MaxAppend {
				if _, err := p.append(5, at+core.LSN(off), b[off:min(len(b), off+consensus.MaxAppend)], 0); err != nil {
					t.Fatal(err)
				}
			}
			r.stop()
			if how == "power" {
				disk.CutPower()
			} else {
				disk.Killed()
			}
			r = start(t, disk, safekeeper.Limits{})
			p = r.push()
			if g := p.greet(); g.Term != 5 {
				t.Errorf("term %d after restart, want 5", g.Term)
			}
			if v := p.vote(5); v.Granted {
				t.Errorf("term 5 was granted twice")
			}
			v := p.vote(6)
			want := consensus.VoteResponse{Generation: 1, Term: 6, Granted: true, Flush: at + core.LSN(len(b)),
				Truncate: startAt, History: consensus.History{{Term: 5, LSN: at}}}
			if v.Flush != want.Flush || v.History.String() != want.History.String() {
				t.Errorf("vote %+v, want %+v", v, want)
			}
		})
	}
}

func TestForeignWALIsRefused(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	good := w.records(5, 100)
	if _, err := p.append(1, at, good, 0); err != nil {
		t.Fatal(err)
	}
	next := at + core.LSN(len(good))
	// A record that continues another log: its link names another place.
	foreign := newWAL(next, at+8).records(1, 100)
	if _, err := p.append(1, next, foreign, 0); err == nil || !strings.Contains(err.Error(), "does not continue the log") {
		t.Fatalf("foreign WAL: %v", err)
	}
	if s := r.status(); s.Flush != next || s.Write != next {
		t.Errorf("after the refusal flush LSN %s, write LSN %s; want %s", s.Flush, s.Write, next)
	}
	// The next proposer goes on, also across terms: its link is checked too.
	p = r.push()
	p.lead(2)
	if _, err := p.append(2, next, newWAL(next, at+8).records(1, 100), 0); err == nil || !strings.Contains(err.Error(), "does not continue the log") {
		t.Fatalf("foreign WAL of a new term: %v", err)
	}
	p = r.push()
	p.lead(3)
	if resp, err := p.append(3, next, w.records(3, 100), 0); err != nil || resp.Flush != w.enc.Pos() {
		t.Fatalf("good WAL of a new term: flush LSN %s, %v; want %s", resp.Flush, err, w.enc.Pos())
	}
}

// TestRefusedWALThatFillsASegment: WAL that is refused after its bytes filled a
// segment leaves that segment open for better WAL of the same term, which comes
// by another connection, and the disk one that a restart takes.
func TestRefusedWALThatFillsASegment(t *testing.T) {
	for _, beyond := range []core.LSN{0, 100} { // exactly full; full and more
		disk := newDisk(1)
		r := start(t, disk, safekeeper.Limits{})
		r.mustCreate()
		p, other := r.push(), r.push()
		at := p.lead(1)
		if _, err := p.append(1, at, nil, 0); err != nil { // its election is done: that has no answer
			t.Fatal(err)
		}
		good := newWAL(at, 0)
		var log []byte // up to the last kilobytes of the segment
		for len(log) < segSize-4096 {
			log = append(log, good.records(1, 500)...)
		}
		other.greet()
		other.elect(1, at, consensus.History{{Term: 1, LSN: at}})
		for off := 0; off < len(log); off += consensus.MaxAppend {
			if _, err := other.append(1, at+core.LSN(off), log[off:min(len(log), off+consensus.MaxAppend)], 0); err != nil {
				t.Fatal(err)
			}
		}
		at += core.LSN(len(log))
		bad := newWAL(at, at+8).records(40, 500)[:2*segSize+beyond-at] // linked to another log
		if _, err := p.append(1, at, bad, 0); err == nil || !strings.Contains(err.Error(), "does not continue the log") {
			t.Fatalf("foreign WAL: %v", err)
		}
		more := good.records(40, 500) // into the next segment
		end := at + core.LSN(len(more))
		if a, err := other.append(1, at, more, end); err != nil || a.Flush != end {
			t.Fatalf("good WAL after the refusal: flush LSN %s, %v; want %s", a.Flush, err, end)
		}
		r.stop()
		disk.Killed()
		r = start(t, disk, safekeeper.Limits{})
		if s := r.status(); s.Flush != end {
			t.Fatalf("after a restart: flush LSN %s, want %s", s.Flush, end)
		}
		want := append(log, more...)
		got, err := r.readWAL(startReplication(startAt), wire.ClientConfig{}, len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of WAL are served, %v; want the %d that were taken", len(got), err, len(want))
		}
	}
}

func TestDivergentTailIsCutOff(t *testing.T) {
	disk := newDisk(3)
	r := start(t, disk, safekeeper.Limits{})
	r.mustCreate()
	p := r.push()
	at := p.lead(1)
	w := newWAL(at, 0)
	kept := w.records(3, 1000)
	fork, prev := w.enc.Pos(), w.enc.Prev()
	all := append(bytes.Clone(kept), w.records(600, 4000)...) // a tail of two segments
	for off := 0; off < len(all); off += consensus.MaxAppend {
		if _, err := p.append(1, at+core.LSN(off), all[off:min(len(all), off+consensus.MaxAppend)], 0); err != nil {
			t.Fatal(err)
		}
	}
	// The leader of term 2 had term 1's log only up to the fork.
	q := r.push()
	q.greet()
	q.vote(2)
	q.elect(2, fork, consensus.History{{Term: 1, LSN: at}, {Term: 2, LSN: fork}})
	other := newWAL(fork, prev)
	b := other.records(1, 1)
	resp, err := q.append(2, fork, b, 0)
	if err != nil || resp.Flush != other.enc.Pos() {
		t.Fatalf("flush LSN %s, %v; want %s", resp.Flush, err, other.enc.Pos())
	}
	r.stop()
	disk.CutPower()
	r = start(t, disk, safekeeper.Limits{})
	if s := r.status(); s.Flush != other.enc.Pos() || s.Acceptor.Epoch != 2 {
		t.Errorf("after a power cut flush LSN %s of term %d, want %s of term 2", s.Flush, s.Acceptor.Epoch, other.enc.Pos())
	}
}

func TestProtocolErrorsAreNamed(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	fails := func(want string, f func(p *proposer)) {
		t.Helper()
		p := r.push()
		f(p)
		for {
			_, err := p.receive()
			var e *wire.Error
			if err == nil {
				continue
			}
			if !errors.As(err, &e) || !strings.Contains(e.Message, want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
			return
		}
	}
	fails("does not exist on safekeeper 1", func(p *proposer) { p.sendGreeting(pg) })
	r.mustCreate()
	other := pg
	other.SystemID++
	fails("system identifier 7300000000000000002 at a timeline of 7300000000000000001", func(p *proposer) { p.sendGreeting(other) })
	other = pg
	other.PGVersion = 160001
	fails("PostgreSQL 16 at a timeline of PostgreSQL 15", func(p *proposer) { p.sendGreeting(other) })
	fails("first message of a proposer must be its greeting", func(p *proposer) { p.sendAppend(1, startAt, nil, 0) })
	fails("before its elected message", func(p *proposer) { p.greet(); p.vote(1); p.sendAppend(1, startAt, nil, 0) })
	fails("unknown message", func(p *proposer) { p.send([]byte("?"), nil) })
	fails("cut short", func(p *proposer) { p.send([]byte("v\x00\x00"), nil) })
	fails("ends at", func(p *proposer) {
		p.greet()
		p.vote(9)
		p.elect(9, startAt+8000, consensus.History{{Term: 9, LSN: startAt + 8000}})
	})
	if s := r.status(); s.Failed != "" || s.Flush != startAt {
		t.Errorf("status after bad messages: %+v", s)
	}
}

func TestCreation(t *testing.T) {
	disk := newDisk(1)
	r := start(t, disk, safekeeper.Limits{})
	r.mustCreate()
	r.mustCreate() // repeating it is allowed
	if err := r.create(startAt+8, nil); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("creation at another LSN: %v", err)
	}
	if err := r.create(startAt+1, nil); err == nil || !strings.Contains(err.Error(), "no WAL record can end there") {
		t.Errorf("creation at an odd LSN: %v", err)
	}
	r.stop()
	disk.CutPower()
	r = start(t, disk, safekeeper.Limits{})
	if s := r.status(); s.Failed != "" || s.Commit != startAt || s.TimelineStart != startAt {
		t.Errorf("an acknowledged timeline after a power cut: %+v", s)
	}
}

func TestInitialSegment(t *testing.T) {
	r := start(t, newDisk(1), safekeeper.Limits{})
	w := newWAL(segSize, 0)
	initial := w.records(20, 3000)
	at := w.enc.Pos()
	if err := r.create(at, initial[:len(initial)-8]); err == nil || !strings.Contains(err.Error(), "want the") {
		t.Errorf("initial segment of a wrong length: %v", err)
	}
	broken := bytes.Clone(initial)
	broken[len(broken)/2] ^= 1
	if err := r.create(at, broken); err == nil || !strings.Contains(err.Error(), "initial segment") {
		t.Errorf("broken initial segment: %v", err)
	}
	if err := r.create(at, initial); err != nil {
		t.Fatal(err)
	}
	p := r.push()
	p.lead(1)
	// The imported bytes show what the first record has to link to.
	if _, err := p.append(1, at, newWAL(at, at-8).records(1, 10), 0); err == nil {
		t.Error("a first record that does not follow the imported ones was taken")
	}
	p = r.push()
	p.lead(2)
	b := w.records(5, 100)
	if _, err := p.append(2, at, b, 0); err != nil {
		t.Fatal(err)
	}
	end := at + core.LSN(len(b))
	if _, err := p.append(2, end, nil, end); err != nil {
		t.Fatal(err)
	}
	got, err := r.readWAL(startReplication(segSize), wire.ClientConfig{}, len(initial)+len(b))
	if err != nil || !bytes.Equal(got, append(initial, b...)) {
		t.Errorf("WAL from the first segment's start: %d bytes, %v", len(got), err)
	}
}
