package consensus_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/core"
	"xenon/core/faults"
	"xenon/internal/killed"
)

// A reshaping changes the members of a world: a register, drivers that are
// killed at any moment, and requests that arrive late and more than once.
type reshaping struct {
	record  membership.Record
	version int
	issued  map[core.Generation]consensus.Configuration
	drivers [2]*driver
	late    []membership.Task // sent by somebody, and perhaps to arrive again
	changes int
}

// A driver is a change that somebody is at, with the version of the register
// that it began with.
type driver struct {
	*membership.Change
	version int
	wanted  []consensus.Member
}

// newReshaped is a world of members and of nodes that do not have the timeline.
func newReshaped(members, spares, props int, choose func(int) int) *world {
	w := newWorld(members, props, choose)
	for i := range spares {
		w.nodes = append(w.nodes, &node{id: core.NodeID(members + i + 1), absent: true})
	}
	w.change = &reshaping{record: membership.Record{Config: w.config}, issued: map[core.Generation]consensus.Configuration{1: w.config}}
	return w
}

func is(set []consensus.Member, n *node) bool {
	return slices.ContainsFunc(set, func(m consensus.Member) bool { return m.ID == n.id })
}

// members are those of whom a majority must have what is committed.
func (w *world) members() []consensus.Member {
	if w.change == nil {
		return w.config.Members
	}
	return w.change.record.Config.Members
}

// known is a configuration that a campaign may begin with: that of the
// register, or of any node, however old.
func (w *world) known() consensus.Configuration {
	if w.change == nil {
		return w.config
	}
	if n := w.nodes[w.choose(len(w.nodes))]; !n.absent && w.choose(2) == 0 {
		return n.control.Config
	}
	return w.change.record.Config
}

// goOn lets a proposer that a newer configuration ended go on in it. One that is
// not level yet is not to wait for a log that may have left: it campaigns anew.
func (w *world) goOn(i int) bool {
	old := w.props[i]
	if old.Ended().Kind != consensus.Reconfigured || old.CommitLSN() == 0 || w.choose(8) == 0 && !w.quiet {
		return false
	}
	p, err := old.Continue()
	if err != nil {
		panic(err)
	}
	for _, c := range w.conns {
		c.lost = c.lost || c.p == old
	}
	next := &prop{Proposer: p, incarn: old.incarn, term: old.term, wal: old.wal, seq: old.seq}
	w.law.props[next] = w.law.props[old]
	w.props[i] = next
	return true
}

// reshape does one step of one driver, or what somebody sent long ago arrives.
func (w *world) reshape() {
	r := w.change
	i := w.choose(len(r.drivers))
	d := r.drivers[i]
	switch k := w.choose(20); {
	case k == 0:
		r.drivers[i] = nil // it is killed
		return
	case k == 1 && len(r.late) > 0:
		w.perform(r.late[w.choose(len(r.late))])
		return
	case d == nil:
		r.drivers[i] = w.begin(w.wish())
		return
	}
	w.drive(i)
}

// wish is a set that somebody wants: what is there with one more, one less, or
// one in the place of another.
func (w *world) wish() []consensus.Member {
	target := w.change.record.Target()
	if w.choose(6) == 0 {
		return w.change.record.Config.Members // also takes a change back
	}
	var add []consensus.Member
	var remove []core.NodeID
	how := w.choose(3)
	if how != 1 {
		add = append(add, sk(1+w.choose(len(w.nodes))))
	}
	if how != 0 {
		remove = append(remove, target[w.choose(len(target))].ID)
	}
	wanted := w.change.record.Wanted(add, remove)
	if len(wanted) == 0 {
		return target
	}
	return wanted
}

func (w *world) begin(wanted []consensus.Member) *driver {
	c, err := membership.Toward(w.change.record, wanted)
	if err != nil {
		panic(err)
	}
	return &driver{c, w.change.version, wanted}
}

// drive does one thing that a driver owes.
func (w *world) drive(i int) {
	r := w.change
	d := r.drivers[i]
	step := d.Next()
	switch step.Kind {
	case membership.Done:
		r.drivers[i] = nil
	case membership.Write:
		if d.version == r.version {
			w.register(step.Record)
		}
		r.drivers[i] = w.begin(d.wanted)
	case membership.Ask:
		if d.version != r.version && w.choose(4) == 0 { // it looks again now and then
			r.drivers[i] = w.begin(d.wanted)
			return
		}
		tasks := step.Tasks
		if k := w.choose(len(tasks)); !w.quiet {
			tasks = tasks[k : k+1]
		}
		for _, t := range tasks {
			w.ask(i, t)
		}
		if w.quiet && d.version != r.version {
			r.drivers[i] = w.begin(d.wanted)
		}
	}
}

func (w *world) ask(i int, t membership.Task) {
	r := w.change
	r.late = append(r.late, t)
	answer, ok := w.perform(t)
	if !ok || !w.quiet && w.choose(8) == 0 {
		return // it was not there, or its answer is lost
	}
	if d := r.drivers[i]; errors.Is(d.Answered(t, answer), membership.ErrSuperseded) {
		r.drivers[i] = w.begin(d.wanted)
	}
}

func (w *world) register(next membership.Record) {
	r := w.change
	g := next.Config.Generation
	was, issued := r.issued[g]
	law(!issued || was.Same(next.Config), "S6 configuration safety", "generation %d is %s and %s", g, was, next.Config)
	law(g >= r.record.Config.Generation && g <= r.record.Config.Generation+1, "S6 configuration safety", "%s comes after %s", next.Config, r.record.Config)
	if g > r.record.Config.Generation {
		r.changes++
		law((len(next.Config.NewMembers) > 0) != (len(r.record.Config.NewMembers) > 0), "S17 one change at a time", "%s comes after %s", next.Config, r.record.Config)
	}
	r.issued[g], r.record = next.Config, next
	r.version++
}

// perform carries out a request at its safekeeper, and says what it answers;
// false if nobody answers.
func (w *world) perform(t membership.Task) (a membership.Answer, ok bool) {
	n := w.nodes[t.Node.ID-1]
	switch t.Kind {
	case membership.Exclude:
		return a, w.exclude(n, t.Config)
	case membership.Pull:
		if n.absent && !w.pull(n, t) {
			return a, false
		}
	}
	if n.absent {
		return membership.Answer{Missing: true}, true
	}
	if n.acc == nil {
		return a, false
	}
	out, err := consensus.Output{}, error(nil)
	if t.Kind == membership.Bump {
		out = n.acc.Bump(t.Term)
	} else {
		out, err = n.acc.Configure(t.Config)
	}
	if err != nil || !w.carryOut(n, out) {
		return a, false
	}
	return membership.Answer{Generation: n.acc.Generation(), Term: n.acc.Term(), Position: n.acc.Position()}, true
}

// exclude takes the timeline away, unless what the node has is newer.
func (w *world) exclude(n *node, c consensus.Configuration) bool {
	if !n.absent && n.control.Config.Generation >= c.Generation && !(faults.On && faults.Hit(faults.ExcludeAnyTime)) {
		return false
	}
	w.crash(n)
	*n = node{id: n.id, absent: true, tomb: max(n.tomb, c.Generation)}
	delete(w.law.promised, n.id)
	return true
}

// pull copies what some donor has at this moment.
func (w *world) pull(n *node, t membership.Task) bool {
	from, first := (*node)(nil), w.choose(len(t.Donors))
	for k := range t.Donors {
		if d := w.nodes[t.Donors[(first+k)%len(t.Donors)].ID-1]; d.acc != nil && d != n && from == nil {
			from = d
		}
	}
	if from == nil || n.tomb >= t.Config.Generation && !(faults.On && faults.Hit(faults.PullRevives)) {
		return false
	}
	c, flush := from.acc.Control(), from.acc.FlushLSN()
	c.Config, c.History = t.Config, c.History.UpTo(flush)
	n.absent, n.control, n.durable = false, c, bytes.Clone(from.wal()[:flush-base])
	w.start(n)
	return true
}

// settle goes on with changes until they are done, without any new one.
func (w *world) settle() {
	r := w.change
	if r == nil {
		return
	}
	r.drivers[1] = nil
	if r.drivers[0] == nil && !w.settled() {
		r.drivers[0] = w.begin(r.record.Target())
	}
	for range 20 {
		if r.drivers[0] != nil {
			w.drive(0)
		}
	}
}

func (w *world) settled() bool {
	if w.change == nil {
		return true
	}
	r := w.change.record
	for _, n := range w.nodes {
		if is(r.Config.Members, n) && (n.absent || n.acc == nil || n.acc.Generation() != r.Config.Generation) {
			return false
		}
	}
	return len(r.Config.NewMembers) == 0 && len(r.Leavers) == 0
}

// runReshaped is runWorld with changing members.
func runReshaped(members, spares, props, steps int, choose func(int) int) (w *world, err error) {
	err = guarded(func() error {
		w = newReshaped(members, spares, props, choose)
		for range steps {
			w.step()
		}
		return w.heal()
	})
	if err != nil && w != nil {
		err = fmt.Errorf("%w\n%s", err, w.describe())
	}
	return w, err
}

// describe tells where everybody is.
func (w *world) describe() string {
	text := fmt.Sprintf("register %s, leavers %v\n", w.change.record.Config, w.change.record.Leavers)
	for _, n := range w.nodes {
		text += fmt.Sprintf("node %d: absent %t, tomb %d, %s, term %d, history %s\n", n.id, n.absent, n.tomb, n.control.Config, n.control.Term, n.control.History)
	}
	for _, p := range w.props {
		text += fmt.Sprintf("proposer %d: %s, term %d, ended %v, commit %s of %s:", p.incarn, p.Phase(), p.Term(), p.Ended(), p.CommitLSN(), p.AvailableLSN())
		for i := range p.Members() {
			text += fmt.Sprintf(" %+v", p.Peer(i))
		}
		text += "\n"
	}
	return text
}

// reshapeLaws is one random world whose members change.
func reshapeLaws(choose killed.Choose) error {
	_, err := runReshaped(1+choose(4), 1+choose(3), 2, steps(), choose)
	return err
}

func TestChangingMembersKeepsTheLaws(t *testing.T) { killed.Holds(t, reshapeLaws) }

func TestSeededChangesOfMembers(t *testing.T) {
	seeds := 40
	if full() {
		seeds = 20_000
	}
	commits, changes := 0, 0
	for seed := range seeds {
		w, err := runReshaped(1+seed%4, 1+seed%3, 2, 600, rand.New(rand.NewPCG(uint64(seed), 5)).IntN)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		commits += len(w.law.ghost) / recordLen
		changes += w.change.changes
	}
	t.Logf("%d records committed, %d configurations", commits, changes)
	if commits < 2*seeds || changes < 5*seeds {
		t.Errorf("%d seeds committed %d records in %d configurations: nothing was tested", seeds, commits, changes)
	}
}
