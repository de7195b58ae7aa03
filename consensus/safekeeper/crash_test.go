package safekeeper_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
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

// A witness is what a safekeeper said to others: all of it has to be true
// after any power cut.
type witness struct {
	created bool
	term    core.Term // highest promised
	epoch   core.Term // of the history that acknowledged WAL is of
	flush   core.LSN  // acknowledged
	log     []byte    // from startAt on; the part up to flush is acknowledged
}

// A life is one incarnation under test; its steps fail once the disk has no
// power.
type life struct {
	r *rig
	p *proposer
	w *witness
	// most is what the proposer may say is committed: it never cuts that off.
	most core.LSN
}

// live boots a safekeeper on a view of a disk.
func live(t testing.TB, w *witness, view *trip) (*life, error) {
	real := realio.New(realio.Options{Log: quiet, Grace: time.Millisecond})
	e := quick{real, view}
	node, err := safekeeper.Open(real.Context(), e, safekeeper.Config{NodeID: me})
	if err != nil {
		real.Close()
		return nil, err
	}
	l, err := e.Net().Listen(real.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, e: e, real: real, node: node, addr: l.Addr().String(), done: make(chan error, 1)}
	go func() { r.done <- node.Serve(real.Context(), l) }()
	return &life{r: r, w: w}, nil
}

func (l *life) connect() error {
	c, err := wire.Connect(l.r.real.Context(), l.r.e, l.r.addr, wire.ClientConfig{TTID: ttid})
	if err == nil {
		err = c.CopyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')")
		l.p = &proposer{l.r.t, c}
	}
	return err
}

// lead is an election of term; the history is cut at fork if it is not 0.
func (l *life) lead(term core.Term, fork core.LSN) error {
	if err := l.connect(); err != nil {
		return err
	}
	l.p.sendGreeting(pg)
	m, err := l.p.receive()
	if err != nil {
		return err
	}
	if m.Greeting.Term < l.w.term {
		return fmt.Errorf("greeting of term %d, %d was promised", m.Greeting.Term, l.w.term)
	}
	l.p.send(wire.AppendVoteRequest(nil, consensus.VoteRequest{Generation: 1, Term: term}), nil)
	if m, err = l.p.receive(); err != nil {
		return err
	}
	if !m.Vote.Granted || m.Vote.Flush < l.w.flush {
		return fmt.Errorf("vote %+v, flush LSN %s was acknowledged", m.Vote, l.w.flush)
	}
	l.w.term = term
	start := m.Vote.Flush
	h := m.Vote.History
	if fork > 0 {
		start, h = fork, h.UpTo(fork)
		l.w.flush = min(l.w.flush, fork) // the rest may be gone from now on
	}
	l.w.log = l.w.log[:start-startAt]
	l.w.epoch = 0
	l.p.elect(term, start, h.With(consensus.TermSwitch{Term: term, LSN: start}))
	return nil
}

// append sends WAL in messages of its own and waits for all answers.
func (l *life) append(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), consensus.MaxAppend)
		begin := startAt + core.LSN(len(l.w.log))
		l.w.log = append(l.w.log, b[:n]...)
		b = b[n:]
		resp, err := l.p.append(l.w.term, begin, l.w.log[begin-startAt:], min(l.w.flush, l.most))
		if err != nil {
			return err
		}
		l.w.flush, l.w.epoch = max(l.w.flush, resp.Flush), l.w.term
	}
	return nil
}

// story is what happens before the power goes: creation, WAL over the end of a
// segment, a second term that cuts off a tail, more WAL.
func story(l *life) error {
	body := safekeeper.NewCreation(ttid, conf, pg, startAt, nil)
	if err := http1.Call(l.r.real.Context(), l.r.e, l.r.addr, "POST", "/v1/tenant/timeline", body, nil); err != nil {
		return err
	}
	l.w.created, l.w.flush = true, startAt
	if err := l.lead(1, 0); err != nil {
		return err
	}
	m := newWAL(startAt, 0)
	if err := l.append(m.records(3, 3000)); err != nil {
		return err
	}
	fork, prev := m.enc.Pos(), m.enc.Prev()
	l.most = fork
	for range 5 {
		if err := l.append(m.records(4, 100_000)); err != nil {
			return err
		}
	}
	if err := l.append(m.records(20, 50_000)); err != nil {
		return err
	}
	if err := l.lead(2, fork); err != nil {
		return err
	}
	other := newWAL(fork, prev)
	l.most = fork + segSize
	for range 3 {
		if err := l.append(other.records(2, 2000)); err != nil {
			return err
		}
	}
	return nil
}

// check boots the safekeeper on what the power cut left and holds it to what
// it had said.
func check(t testing.TB, disk *diskdrv.Disk, w *witness) error {
	l, err := live(t, w, &trip{FS: disk.FS(nil)})
	if err != nil {
		return fmt.Errorf("it does not start again: %w", err)
	}
	defer l.r.stop()
	var s safekeeper.TimelineStatus
	path := "/v1/tenant/" + ttid.Tenant.String() + "/timeline/" + ttid.Timeline.String()
	err = http1.Call(l.r.real.Context(), l.r.e, l.r.addr, "GET", path, nil, &s)
	var missing *http1.StatusError
	if errors.As(err, &missing) && missing.Status == 404 && !w.created {
		return nil
	}
	if err != nil || s.Failed != "" {
		return fmt.Errorf("the timeline is gone: %v %s", err, s.Failed)
	}
	if s.Flush < w.flush || s.Acceptor.Term < w.term || s.Acceptor.Epoch < w.epoch {
		return fmt.Errorf("flush LSN %s, term %d, last log term %d after the cut; before it said %s, %d, %d",
			s.Flush, s.Acceptor.Term, s.Acceptor.Epoch, w.flush, w.term, w.epoch)
	}
	next := *w
	l.w = &next
	if err := l.lead(s.Acceptor.Term+1, 0); err != nil {
		return err
	}
	if w.flush <= startAt {
		return nil
	}
	l.p.append(next.term, s.Flush, nil, 0) // its answer says that the election has arrived
	got, err := l.r.readWAL(fmt.Sprintf("%s (term='%d')", startReplication(startAt), next.term), wire.ClientConfig{}, int(w.flush-startAt))
	if want := w.log[:w.flush-startAt]; err != nil || !bytes.HasPrefix(got, want) {
		return fmt.Errorf("WAL that was acknowledged up to %s is different after the cut: %v", w.flush, err)
	}
	return nil
}

// cutAt runs the story with a power cut at its n-th disk operation, and tells
// whether the story was over before.
func cutAt(t testing.TB, n int, seed uint64) (over bool, err error) {
	disk := newDisk(seed)
	w := &witness{}
	view := &trip{FS: disk.FS(nil), kind: cut, at: n}
	l, err := live(t, w, view)
	if err == nil {
		err = story(l)
		over = !view.happened()
		view.off()
		l.r.stop()
	}
	if err != nil && over {
		return false, fmt.Errorf("before the cut: %w", err)
	}
	disk.CutPower()
	return over, check(t, disk, w)
}

// cuts tries a power cut at every operation, and with several fates of what
// was not synced at each.
func cuts(t testing.TB, fates, stride int) error {
	for n := 1; ; n += stride {
		for seed := range uint64(fates) {
			over, err := cutAt(t, n, seed*1000+uint64(n))
			if err != nil {
				return fmt.Errorf("power cut at operation %d, fate %d: %w", n, seed, err)
			}
			if over {
				return nil
			}
		}
	}
}

func TestPowerCutAtEveryOperation(t *testing.T) {
	fates, stride := 1, 2
	if os.Getenv("XENON_FULL") != "" {
		fates, stride = 10, 1
	}
	if err := cuts(t, fates, stride); err != nil {
		t.Fatal(err)
	}
}

// A disk that is full at any one operation costs time and nothing else.
func TestNoSpaceAtEveryOperation(t *testing.T) {
	stride := 3
	if os.Getenv("XENON_FULL") != "" {
		stride = 1
	}
	for n := 1; ; n += stride {
		disk := newDisk(uint64(n))
		w := &witness{}
		view := &trip{FS: disk.FS(nil), kind: noSpace, at: n}
		l, err := live(t, w, view)
		if err == nil {
			err = story(l)
			view.off()
			l.r.stop()
		}
		// Opening and creating may fail, in so many words; what is acknowledged
		// may not be lost in any case.
		if err != nil && (w.created || !strings.Contains(err.Error(), env.ErrNoSpace.Error())) {
			t.Fatalf("no space at operation %d: %v", n, err)
		}
		disk.CutPower()
		if err := check(t, disk, w); err != nil {
			t.Fatalf("no space at operation %d: %v", n, err)
		}
		if !view.spent() {
			return
		}
	}
}
