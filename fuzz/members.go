package fuzz

import (
	"context"
	"errors"
	"path"
	"slices"
	"time"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/consensus/migrate"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/register"
	"xenon/core/xsync"
	"xenon/diskdrv"
)

// reserves is how many safekeepers are there to become members, in a run in
// which members move.
const reserves = 2

// maxMoves is how often members move in a run at most.
const maxMoves = 4

// drawMoves makes members move in one run of three.
func drawMoves(d dice, length time.Duration) (acts []Act) {
	if d.of("moves").IntN(3) > 0 {
		return nil
	}
	for i := range 1 + d.of("moves number").IntN(maxMoves) {
		r := d.of("move %d", i)
		acts = append(acts, Act{At: millis(r, length), Deed: Join + Deed(r.IntN(3)), Which: r.IntN(1 << 16)})
	}
	return acts
}

// moves tells whether members move in a run.
func (p *Plan) moves() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Class == WipeKeeper }) || slices.ContainsFunc(p.Acts, func(a Act) bool { return a.Deed >= Join })
}

// enter enters the first members of a timeline, if they are to move.
func (c *cluster) enter(ctx context.Context, e env.Env, id core.TTID) error {
	if len(c.reserve) == 0 {
		return nil
	}
	_, err := membership.Enter(ctx, e, id, c.conf)
	return err
}

// move changes the members of a branch. Its driver is interrupted again and
// again, at any step, and goes on; in some cases a second one is at work.
func (b *brancher) move(ctx context.Context, e env.Env, deed Deed) error {
	c := b.r.c
	b.why = errors.New("a safekeeper that lost its disk is to be replaced first")
	if err := await(ctx, e, func() bool { return b.r.n.lost == nil }); err != nil {
		return err
	}
	c.reshaping++
	defer func() { c.reshaping-- }()
	live := b.live()
	l := live[b.dice.IntN(len(live))]
	if l.members.record.Config.Generation == 0 {
		return nil // it is only being made
	}
	edits := []migrate.Edit{b.edit(l, deed)}
	if b.dice.IntN(3) == 0 {
		edits = append(edits, b.edit(l, Join+Deed(b.dice.IntN(3))))
	}
	g := xsync.NewGroup(ctx, e)
	for i, edit := range edits {
		dice := e.Rand("driver of members " + string(rune('a'+i)))
		g.Go("driver of members", func(ctx context.Context) error {
			for try := 0; ; try++ {
				patience := time.Duration(1+dice.IntN(1500)) * time.Millisecond
				if try > 8 {
					patience = 20 * time.Second
				}
				done, err := b.drive(ctx, e, l, edit, patience)
				if done || err != nil {
					return err
				}
			}
		})
	}
	err := g.Wait()
	if err == nil {
		c.w.Show("members", l.name, l.members.record.Config.String(), 0, 0)
	}
	return err
}

// drive runs a driver for a while and tells whether it need not be run again.
func (b *brancher) drive(ctx context.Context, e env.Env, l *line, edit migrate.Edit, patience time.Duration) (done bool, err error) {
	part, cancel := xsync.WithTimeout(ctx, e, patience)
	defer cancel()
	res, err := migrate.Run(part, e, l.id, edit)
	nobody := len(l.members.record.Wanted(edit.Add, edit.Remove)) == 0 // the other driver was first
	switch {
	case err == nil && len(res.Left) == 0, errors.Is(err, migrate.ErrOvertaken), l.going, l.gone, nobody:
		return true, nil
	case err == nil:
		b.why = errors.Join(res.Left...)
	default:
		b.why = err
	}
	return false, e.Clock().Sleep(ctx, 10*time.Millisecond)
}

// edit is what a deed asks for, given who is a member now.
func (b *brancher) edit(l *line, deed Deed) migrate.Edit {
	target, edit := l.members.record.Target(), migrate.Edit{Patience: 300 * time.Millisecond}
	var outside []consensus.Member
	for i := range len(b.r.c.sks) + len(b.r.c.reserve) {
		if m := memberOf(i); !slices.ContainsFunc(target, func(o consensus.Member) bool { return o.ID == m.ID }) {
			outside = append(outside, m)
		}
	}
	if deed != Leave && len(outside) > 0 {
		edit.Add = append(edit.Add, outside[b.dice.IntN(len(outside))])
	}
	if deed == Swap && len(edit.Add) > 0 || deed == Leave && len(target) > 1 {
		edit.Remove = append(edit.Remove, target[b.dice.IntN(len(target))].ID)
	}
	return edit
}

// members is what the register of a timeline's members has held.
type members struct {
	record membership.Record
	// issued are the configurations of all generations.
	issued map[core.Generation]consensus.Configuration
}

// configured is told of what was written to a register of members.
func (j *judge) configured(o diskdrv.ObjectOp, data []byte) {
	id, err := core.ParseTimelineID(path.Base(o.Key))
	payload, perr := register.Payload(data)
	if err != nil || perr != nil {
		j.violated(OneConfig, "%s: %v", o.Key, errors.Join(err, perr))
		return
	}
	r, err := membership.Decode(payload)
	if err != nil {
		j.violated(OneConfig, "%s: %v", o.Key, err)
		return
	}
	if l := j.line(id.Tag()); l != nil {
		l.configured(r)
	}
}

// configured is told of a new record: its generation is the next one, or the
// same with the same members; and a joint configuration turns into one of its
// two sets before there is another.
func (l *line) configured(r membership.Record) {
	m, next := &l.members, r.Config
	last := m.record.Config
	if m.issued == nil {
		m.issued = map[core.Generation]consensus.Configuration{}
	}
	if was, ok := m.issued[next.Generation]; ok && !was.Same(next) {
		l.j.violated(OneConfig, "the members of %s: %s was %s before", l.name, next, was)
		return
	}
	step := next.Generation - last.Generation
	joint := func(c consensus.Configuration) bool { return len(c.NewMembers) > 0 }
	if last.Generation != 0 && (step > 1 || step == 1 && joint(last) == joint(next)) ||
		step == 1 && joint(last) && !membership.SameMembers(next.Members, last.Members) && !membership.SameMembers(next.Members, last.NewMembers) {
		l.j.violated(OneConfig, "the members of %s: %s came after %s", l.name, next, last)
		return
	}
	if joint(next) && step == 1 {
		l.j.counts.Changes++
	}
	m.record, m.issued[next.Generation] = r, next
	l.keepers = l.of(next.Members)
	for _, k := range l.pool {
		if k.lost && !next.Has(memberID(k.name)) {
			l.forget(k) // what it promised counts no more
		}
	}
}

// of finds the keepers of a set.
func (l *line) of(set []consensus.Member) (list []*keeper) {
	for _, k := range l.pool {
		if slices.ContainsFunc(set, func(m consensus.Member) bool { return m.Host == k.name }) {
			list = append(list, k)
		}
	}
	return list
}

// set is the members as they are now.
func (l *line) set(c *cluster) []consensus.Member {
	if l.members.record.Config.Generation == 0 {
		return c.conf.Members
	}
	return l.members.record.Config.Members
}

// quorum is the bytes that a majority of every set of a generation has on its
// devices, or, where that is over, one of the members of now: whoever took
// their place has what they had.
func (l *line) quorum(g core.Generation, from, to core.LSN) []byte {
	conf, ok := l.members.issued[g]
	if !ok {
		return majority(l.keepers, from, to)
	}
	b := majority(l.of(conf.Members), from, to)
	if b != nil && len(conf.NewMembers) > 0 {
		l.j.counts.JointCommits++
		other := majority(l.of(conf.NewMembers), from, to)
		if other == nil || string(other) != string(b) {
			b = nil
		}
	}
	if b == nil && g != l.members.record.Config.Generation {
		b = majority(l.keepers, from, to)
	}
	return b
}

// excluded is told that a safekeeper has given a timeline up: what it promised
// is over with it.
func (l *line) excluded(k *keeper) {
	if k.lost {
		l.j.violated(NoReturn, "%s lost its disk, and is given or takes away its copy of %s as the member that it was", k.name, l.name)
		return
	}
	l.forget(k)
}

// pulled is told that a safekeeper has a copy.
func (l *line) pulled(k *keeper, term core.Term, flush, commit core.LSN) {
	if r := l.members.record; !r.Config.Has(memberID(k.name)) && r.Config.Generation != 0 {
		l.j.counts.LateCopies++ // excluded again, once that is asked for
	}
	l.excluded(k)
	k.out, k.term, l.j.counts.Pulls = false, term, l.j.counts.Pulls+1
	if err := k.reported(flush); err != nil {
		l.j.violated(DurableFlush, "copy of %s: %w", l.name, err)
	}
	if commit > l.ghost.end() {
		l.j.violated(Prefix, "%s copied %s up to %s as committed, which goes up to %s", k.name, l.name, commit, l.ghost.end())
	} else if err := l.ghost.agree(k.name, l.ghost.begin, k.wal(l.ghost.begin, commit)); err != nil {
		l.j.violated(Prefix, "%w", err)
	}
	k.commit = commit
}

func memberID(name string) core.NodeID {
	for i := 0; ; i++ {
		if m := memberOf(i); m.Host == name {
			return m.ID
		}
	}
}

// takesPart is told that a safekeeper promises something. One that is a member
// again may have taken its copy over without getting to say so: it ended, or
// could not read its disk.
func (l *line) takesPart(k *keeper) {
	if k.lost {
		l.j.violated(NoReturn, "%s lost its disk and all that it promised, and takes part in %s before it was replaced", k.name, l.name)
	}
	if k.out && l.members.record.Config.Has(memberID(k.name)) {
		k.out = false
	}
	if k.out {
		l.j.violated(NoReturn, "%s was excluded from %s and takes part in it", k.name, l.name)
	}
}
