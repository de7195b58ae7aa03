// Package migrate carries out changes of who keeps the WAL of a timeline: it
// does what package membership says, with safekeepers and the register.
//
// Start at [Run].
package migrate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"xenon/consensus"
	"xenon/consensus/membership"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/faults"
	"xenon/core/register"
	"xenon/core/wire/http1"
	"xenon/core/xsync"
)

// An Edit says which members a timeline is to have: those that it has, or will
// have once a change under way is done, with some added and some taken out.
type Edit struct {
	Add    []consensus.Member
	Remove []core.NodeID
	// Blank are members that are known never to have had the timeline: they were
	// away when it was made, and get a copy. Of others it cannot be told whether
	// they have lost it.
	Blank []core.NodeID
	// Patience is how long what is left is tidied up once the change is in
	// force, and safekeepers that do not answer are waited for; 0 is 10 s.
	Patience time.Duration
	// Say is told what goes on, if it is not nil.
	Say func(format string, args ...any)
}

// Times of a change.
const (
	// pollEvery is the pause between two rounds that did not change anything.
	pollEvery = 50 * time.Millisecond
	// lookEvery is how often the register is read while safekeepers are waited
	// for: what they wait for may have been given up by another driver.
	lookEvery = time.Second
	// askPatience bounds one request. A copy goes on without whoever asked for
	// it, and is asked for again.
	askPatience     = 10 * time.Second
	defaultPatience = 10 * time.Second
)

// ErrOvertaken reports that somebody else has changed the members to another
// set meanwhile, or has taken the change back.
var ErrOvertaken = errors.New("somebody else has changed the members meanwhile")

// A Result is what a change came to.
type Result struct {
	membership.Record
	// Left is what could not be tidied up: safekeepers that were not there, to
	// be told later, by the same Edit again or by the next one.
	Left []error
}

// Run changes the members of a timeline whose membership is entered, and
// returns once the change is in force and, if that is possible soon, tidied
// up. It may be interrupted at any moment, by ctx or by the end of its process,
// and run again with the same Edit: it goes on where it was. Any number may run
// at once; of two that want different sets one is told ErrOvertaken, or both
// get theirs, one after the other.
func Run(ctx context.Context, e env.Env, id core.TTID, edit Edit) (Result, error) {
	d := &driver{e: e, id: id, edit: edit}
	r, err := d.run(ctx)
	if err != nil {
		err = fmt.Errorf("change the members of timeline %s: %w", id, err)
	}
	return r, err
}

type driver struct {
	e     env.Env
	entry membership.Entry // what it goes by
	id    core.TTID
	edit  Edit
	began core.Generation // of the joint configuration toward the wanted set, 0 before
	last  string          // what was said last
}

func (d *driver) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if text == d.last {
		return
	}
	d.last = text
	d.e.Log().Info(text, "timeline", d.id.String())
	if d.edit.Say != nil {
		d.edit.Say("%s", text)
	}
}

func (d *driver) run(ctx context.Context) (Result, error) {
	entry, err := membership.Find(ctx, d.e, d.id)
	if err != nil {
		return Result{}, err
	}
	wanted := entry.Wanted(d.edit.Add, d.edit.Remove)
	for _, id := range d.edit.Blank {
		if !entry.Config.Has(id) || entry.Arrival(id) != nil {
			continue
		}
		if entry, err = entry.Set(ctx, d.e, entry.Arriving(id, "")); err != nil {
			return Result{Record: entry.Record}, err
		}
	}
	for {
		if err := d.mayGoOn(entry.Record, wanted); err != nil {
			return Result{Record: entry.Record}, err
		}
		next, left, err := d.advance(ctx, entry, wanted)
		switch {
		case errors.Is(err, errDone):
			return Result{entry.Record, left}, nil
		case errors.Is(err, register.ErrChanged):
		case err != nil:
			return Result{Record: entry.Record}, err
		}
		entry = next
	}
}

// mayGoOn tells whether the register still says what this driver is about.
// After its own change has ended in another set than the wanted one, by
// somebody else's doing, it does not begin a second: two that want different
// sets would go on for ever.
func (d *driver) mayGoOn(r membership.Record, wanted []consensus.Member) error {
	toward := membership.SameMembers(r.Target(), wanted)
	switch {
	case toward && len(r.Config.NewMembers) > 0:
		d.began = r.Config.Generation
	case !toward && d.began != 0 && r.Config.Generation > d.began:
		return fmt.Errorf("%w: there is %s", ErrOvertaken, r.Config)
	}
	return nil
}

// errDone ends a run.
var errDone = errors.New("done")

// advance does what is to be done until the register has another record.
func (d *driver) advance(ctx context.Context, entry membership.Entry, wanted []consensus.Member) (membership.Entry, []error, error) {
	c, err := membership.Toward(entry.Record, wanted)
	if err != nil {
		return entry, nil, err
	}
	d.entry = entry
	var tidySince env.Instant
	looked := d.e.Clock().Mono()
	for {
		step := c.Next()
		switch step.Kind {
		case membership.Done:
			return entry, lost(c), errDone
		case membership.Write:
			d.say("register: %s", step.Record.Config)
			next, err := entry.Set(ctx, d.e, step.Record)
			return next, nil, err
		}
		failed, err := d.ask(ctx, c, step.Tasks)
		var arriving *arriving
		if errors.As(err, &arriving) {
			next, err := entry.Set(ctx, d.e, entry.Arriving(arriving.node, arriving.disk))
			return next, nil, err
		}
		if errors.Is(err, membership.ErrSuperseded) {
			next, err := d.newer(ctx, entry, err)
			return next, nil, err
		}
		if err != nil {
			return entry, nil, err
		}
		now := d.e.Clock().Mono()
		if now.Sub(looked) > lookEvery {
			next, err := membership.Find(ctx, d.e, d.id)
			if err != nil || next.Newer(entry) {
				return next, nil, err
			}
			looked = now
		}
		if c.InForce() && tidySince == 0 {
			tidySince = now
		}
		if tidySince != 0 && now.Sub(tidySince) > d.patience() {
			return entry, append(failed, lost(c)...), errDone
		}
		if len(failed) > 0 {
			d.say("waiting: %v", failed[0])
		}
		if err := d.e.Clock().Sleep(ctx, pollEvery); err != nil {
			return entry, nil, d.why(err, failed)
		}
	}
}

// why adds what a driver that is to end was waiting for.
func (d *driver) why(err error, failed []error) error {
	if len(failed) > 0 {
		return fmt.Errorf("%w (waiting: %w)", err, failed[0])
	}
	return err
}

func (d *driver) patience() time.Duration {
	if d.edit.Patience > 0 {
		return d.edit.Patience
	}
	return defaultPatience
}

// newer reads the register again after a safekeeper has told of a newer
// configuration. One that the register does not have either was never issued.
func (d *driver) newer(ctx context.Context, entry membership.Entry, why error) (membership.Entry, error) {
	next, err := membership.Find(ctx, d.e, d.id)
	if err == nil && next.Config.Generation <= entry.Config.Generation {
		err = fmt.Errorf("%w; but the register is still at it: it was restored from an older copy, or a safekeeper is of another installation: %w", why, env.ErrCorrupt)
	}
	return next, err
}

// ask does all tasks at once. Those that failed are told; the error is one that
// ends the change as it is.
func (d *driver) ask(ctx context.Context, c *membership.Change, tasks []membership.Task) (failed []error, err error) {
	answers, errs := make([]membership.Answer, len(tasks)), make([]error, len(tasks))
	g := xsync.NewGroup(ctx, d.e)
	for i, t := range tasks {
		g.Go("membership task", func(ctx context.Context) error {
			answers[i], errs[i] = d.do(ctx, t)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, t := range tasks {
		if errors.As(errs[i], new(*arriving)) {
			return failed, errs[i]
		}
		if errs[i] != nil {
			failed = append(failed, fmt.Errorf("%s on safekeeper %d: %w", t.Kind, t.Node.ID, errs[i]))
			continue
		}
		if err := c.Answered(t, answers[i]); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// do carries out one task.
func (d *driver) do(ctx context.Context, t membership.Task) (a membership.Answer, err error) {
	ctx, cancel := xsync.WithTimeout(ctx, d.e, askPatience)
	defer cancel()
	path := "/v1/tenant/" + d.id.Tenant.String() + "/timeline/" + d.id.Timeline.String()
	conf := safekeeper.EncodeConfiguration(t.Config)
	switch t.Kind {
	case membership.Exclude:
		err := d.call(ctx, t, "PUT", path+"/exclude", conf, nil)
		return a, err
	case membership.Bump:
		if err := d.call(ctx, t, "POST", path+"/term_bump", safekeeper.TermBump{Term: t.Term}, nil); err != nil {
			return a, err
		}
	case membership.Pull:
		return d.pull(ctx, t)
	}
	var s safekeeper.Standing
	err = d.call(ctx, t, "PUT", path+"/membership", conf, &s)
	var status *http1.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return membership.Answer{Missing: true}, nil
	}
	return standing(s), err
}

// pull has a safekeeper make its copy. It is entered first on which disk, and
// there is never a copy on another one while it stays a member.
func (d *driver) pull(ctx context.Context, t membership.Task) (a membership.Answer, err error) {
	var node safekeeper.NodeStatus
	if err := d.call(ctx, t, "GET", "/v1/status", nil, &node); err != nil {
		return a, err
	}
	was := d.entry.Arrival(t.Node.ID)
	switch {
	case faults.On && faults.Hit(faults.LostMemberCopies):
	case was == nil || was.Disk == "":
		return a, &arriving{t.Node.ID, node.Disk}
	case was.Disk != node.Disk:
		return a, fmt.Errorf("%w: it was given its copy on disk %s, and this is disk %s", errLost, was.Disk, node.Disk)
	}
	var s safekeeper.Standing
	err = d.call(ctx, t, "POST", "/v1/pull_timeline", safekeeper.NewPullRequest(d.id, t.Config, t.Donors, node.Disk), &s)
	return standing(s), err
}

// An arriving is a member that is about to be given a copy on a disk: that is to
// be entered first.
type arriving struct {
	node core.NodeID
	disk string
}

func (a *arriving) Error() string {
	return fmt.Sprintf("safekeeper %d is to have its copy on disk %s", a.node, a.disk)
}

// errLost reports a member whose disk is not the one that it was a member with.
var errLost = errors.New("it has lost its disk, and with it what it promised: replace it with `xenon membership replace`, or remove it and add it again")

// lost tells of the members that have lost the timeline.
func lost(c *membership.Change) (list []error) {
	for _, m := range c.Lost() {
		list = append(list, fmt.Errorf("safekeeper %d: %w", m.ID, errLost))
	}
	return list
}

func (d *driver) call(ctx context.Context, t membership.Task, method, path string, in, out any) error {
	return http1.Call(ctx, d.e, t.Node.Addr(), method, safekeeper.RouteTo(t.Node.ID, path), in, out)
}

func standing(s safekeeper.Standing) membership.Answer {
	return membership.Answer{Generation: s.Generation(), Term: s.Term, Position: s.Position()}
}
