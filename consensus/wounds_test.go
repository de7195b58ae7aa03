package consensus_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/internal/killed"
)

// wounds makes a disk lose the end of its log now and then, on a minority at
// once, and has nodes ask each other as safekeepers do.
type wounds struct {
	asks   []*ask
	struck int
	healed int
	copies int
}

// An ask is a round of questions: each other node answers at a moment of its
// own, and the answers are taken in later.
type ask struct {
	n       *node
	acc     *consensus.Acceptor // whose round it is; one that started anew forgets it
	treated core.Term
	left    []*node
	reports []consensus.PeerReport
}

// lost is how many members wait for the end of their log.
func (w *world) lost() (n int) {
	if w.wounds == nil {
		return 0
	}
	for _, x := range w.nodes {
		if x.control.Lost != 0 {
			n++
		}
	}
	return n
}

func (x *wounds) step(w *world) {
	n := w.nodes[w.choose(len(w.nodes))]
	switch k := w.choose(8); {
	case k == 0:
		x.strike(w, n)
	case k == 1:
		x.begin(w, n)
	case k == 2:
		x.copy(w, n, w.nodes[w.choose(len(w.nodes))])
	case len(x.asks) > 0:
		i := w.choose(len(x.asks))
		if x.goOn(x.asks[i], w.choose) {
			x.asks = append(x.asks[:i:i], x.asks[i+1:]...)
		}
	}
}

// strike takes the end of a log away, down to what the control file says is
// committed at most.
func (x *wounds) strike(w *world, n *node) {
	if n.absent || n.control.Term == 0 || n.control.Lost == 0 && 2*(w.lost()+1) >= len(w.nodes)+1 {
		return
	}
	if n.acc != nil {
		w.crash(n)
	}
	least := int(max(n.control.Commit, base) - base)
	if len(n.durable) <= least {
		w.start(n)
		return
	}
	x.struck++
	n.durable = n.durable[:least+w.choose(len(n.durable)-least)]
	n.control = n.control.Wound()
	w.start(n)
}

func (x *wounds) begin(w *world, n *node) {
	if n.acc == nil || len(x.asks) > 4 {
		return
	}
	a := &ask{n: n, acc: n.acc, treated: n.acc.Treated()}
	for _, o := range w.nodes {
		if o != n {
			a.left = append(a.left, o)
		}
	}
	x.asks = append(x.asks, a)
}

// goOn asks one more, or takes in what was heard; true at the end.
func (x *wounds) goOn(a *ask, choose killed.Choose) (done bool) {
	if a.n.acc != a.acc {
		return true
	}
	if len(a.left) > 0 {
		i := choose(len(a.left))
		if o := a.left[i]; o.acc != nil && choose(8) > 0 {
			a.reports = append(a.reports, told(o))
		}
		a.left = append(a.left[:i:i], a.left[i+1:]...)
		return false
	}
	for _, r := range a.reports {
		if c := a.acc.Learn(r); c != nil {
			a.n.control = *c
		}
	}
	if c := a.acc.Heal(a.treated, a.reports); c != nil {
		a.n.control = *c
		x.healed++
	}
	return true
}

func told(o *node) consensus.PeerReport {
	at := o.acc.Position()
	return consensus.PeerReport{
		Node: o.id, Config: o.acc.Configuration(), Term: o.acc.Term(), LastTerm: at.Term,
		Flush: at.Flush, Commit: o.acc.CommitLSN(), Wounded: o.acc.Wounded(),
	}
}

// copy brings a node as far as another one, as who copies from a peer does: in
// the place of that term's proposer.
func (x *wounds) copy(w *world, n, from *node) {
	if n == from || n.acc == nil || from.acc == nil || from.acc.Pending() {
		return
	}
	r := told(from)
	n.acc.Learn(r)
	if !n.acc.MayCopy(r) {
		return
	}
	s := &consensus.Session{Copy: true}
	if _, _, err := n.acc.Greet(s, consensus.ProposerGreeting{Config: r.Config, Server: server}); err != nil {
		return
	}
	v, out, err := n.acc.Vote(s, consensus.VoteRequest{Generation: r.Config.Generation, Term: r.Term})
	if err != nil || !w.carryOut(n, out) || v.Term != r.Term {
		return
	}
	h := from.control.History
	start, err := consensus.Diverge(h, v.History, v.Flush)
	if err != nil || start >= r.Flush {
		return
	}
	if out, err = n.acc.Elect(s, consensus.ProposerElected{Generation: r.Config.Generation, Term: r.Term, Start: start, History: h}); err != nil || !w.carryOut(n, out) {
		return
	}
	m := consensus.AppendRequest{Generation: r.Config.Generation, Term: r.Term, Begin: start, End: r.Flush, WAL: from.wal()[start-base : r.Flush-base]}
	if o, err := n.acc.Append(s, m, m.End); err != nil || o.Refuse {
		return
	}
	n.pending = append(n.pending, pendingWrite{int(start - base), append([]byte(nil), m.WAL...)})
	x.copies++
}

// settle asks everybody who is wounded once.
func (x *wounds) settle(w *world) {
	x.asks = nil
	for _, n := range w.nodes {
		if n.acc == nil || !n.acc.Wounded() {
			continue
		}
		x.begin(w, n)
		for !x.goOn(x.asks[0], func(n int) int { return n - 1 }) {
		}
		x.asks = nil
	}
}

// runWounded is runWorld with wounds.
func runWounded(nodes, props, steps int, choose killed.Choose) (w *world, err error) {
	defer func() {
		if v, ok := recover().(core.Violation); ok {
			err = v
		}
	}()
	w = newWorld(nodes, props, choose)
	w.wounds = &wounds{}
	for range steps {
		w.step()
	}
	if err = w.heal(); err != nil {
		return w, err
	}
	w.wounds.settle(w) // all are level by now
	if w.lost() > 0 {
		err = fmt.Errorf("%d are still wounded", w.lost())
	}
	return w, err
}

// healsLate is who makes a wounded safekeeper whole.
func healsLate() error {
	c := consensus.Control{Config: three(), Server: server, Term: 1, History: first, TimelineStart: base, Lost: 1}
	a, err := consensus.NewAcceptor(1, core.TTID{}, c, base)
	if err != nil {
		return err
	}
	other := func(id core.NodeID, n int, wounded bool) consensus.PeerReport {
		return consensus.PeerReport{Node: id, Config: three(), Term: 1, LastTerm: 1, Flush: at(n), Wounded: wounded}
	}
	both := []consensus.PeerReport{other(2, 0, false), other(3, 1, false)}
	if a.Heal(1, both[:1]) != nil || a.Heal(a.Treated(), both) != nil {
		return fmt.Errorf("whole before a proposer came")
	}
	s := greeted(a)
	if err := elect(a, s, 1, base, first); err != nil {
		return err
	}
	for name, reports := range map[string][]consensus.PeerReport{
		"one of two others":     both[:1],
		"one that is farther":   both,
		"one that lost as well": {both[0], other(3, 0, true)},
	} {
		if a.Heal(1, reports) != nil {
			return fmt.Errorf("whole by %s", name)
		}
	}
	if _, err := appendTo(a, s, 1, 0, 1, 0); err != nil {
		return err
	}
	flush(a)
	if a.Heal(1, both) == nil || a.Wounded() {
		return fmt.Errorf("as far as all others, and still wounded")
	}
	return nil
}

func TestHealsLate(t *testing.T) {
	if err := healsLate(); err != nil {
		t.Error(err)
	}
}

// TestWoundedWorlds: with the ends of logs lost on a minority, again and again,
// no law is broken, and after all everybody is whole.
func TestWoundedWorlds(t *testing.T) {
	seeds := 150
	if full() {
		seeds = 20000
	}
	struck, healed, copies, commits := 0, 0, 0, 0
	for seed := range seeds {
		w, err := runWounded(3+2*(seed%4/3), 2, 700, rand.New(rand.NewPCG(uint64(seed), 7)).IntN)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		struck, healed, copies = struck+w.wounds.struck, healed+w.wounds.healed, copies+w.wounds.copies
		commits += len(w.law.ghost) / recordLen
	}
	if struck < seeds || healed < seeds || commits < 3*seeds || copies < seeds/20 {
		t.Errorf("%d seeds, %d wounds, %d healed, %d copies, %d records: nothing was tested", seeds, struck, healed, copies, commits)
	}
	t.Logf("%d wounds, %d healed, %d copies, %d records committed", struck, healed, copies, commits)
}
