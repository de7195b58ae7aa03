package diskdrv

import (
	"context"
	"fmt"
	"strings"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// A request is one call of a client on its way to the bucket and back.
type request struct {
	client *client
	key    string
	// execute is its effect at the bucket; it is called with the bucket's lock.
	execute func() error
	// writes tells whether a caller who learns nothing must fear an effect.
	writes      bool
	conditional bool
	answer      *xsync.Watch[answer]
}

// An answer is what the caller learns.
type answer struct {
	there bool
	err   error
}

// A fortune is what becomes of a request.
type fortune struct {
	refused error // answered without effect
	lost    bool  // no answer comes
	never   bool  // no effect
	late    time.Duration
	twice   bool

	there, back, timeout time.Duration
}

// of is what befalls one request.
func (f BucketFaults) of(owner, key string) BucketFaults {
	if f.Owner != "" && f.Owner != owner || !strings.Contains(key, f.Keys) {
		return BucketFaults{Latency: f.Latency, PageSize: f.PageSize}
	}
	return f
}

// draw decides a request's fortune. The dice fall here and nowhere later, so
// that what other requests do does not change it.
func (b *Bucket) draw(r *request) fortune {
	f := b.faults.of(r.client.owner, r.key)
	luck := fortune{there: f.Latency.draw(b.rand), back: f.Latency.draw(b.rand), timeout: f.Timeout}
	defer func() {
		if luck.refused != nil || luck.lost || luck.twice {
			b.struck++
		}
		b.tally.count(luck)
	}()
	switch {
	case b.outage:
		luck.refused = env.ErrUnavailable
	case f.SlowDown.happens(b.rand):
		luck.refused = env.ErrSlowDown
	case f.Unavailable.happens(b.rand):
		luck.refused = env.ErrUnavailable
	case f.Forbidden.happens(b.rand):
		luck.refused = env.ErrForbidden
	case r.conditional && f.Busy.happens(b.rand):
		luck.refused = env.ErrConflict
	case r.conditional && b.inFlight[r.key] > 0 && f.Conflict.happens(b.rand):
		luck.refused = env.ErrConflict
	case f.LostRequest.happens(b.rand):
		luck.lost, luck.never = true, true
	case f.LostResponse.happens(b.rand):
		luck.lost = true
	case f.Late.happens(b.rand):
		luck.lost, luck.late = true, 1
		if f.MaxLate > 0 {
			luck.late += time.Duration(b.rand.Int64N(int64(f.MaxLate)))
		}
	case f.Twice.happens(b.rand):
		luck.twice = true
	}
	return luck
}

func (t *BucketTally) count(luck fortune) {
	switch {
	case luck.refused == env.ErrConflict:
		t.Conflicts++
	case luck.refused != nil:
		t.Refused++
	case luck.late > 0:
		t.Late++
	case luck.lost:
		t.Unheard++
	case luck.twice:
		t.Twice++
	}
}

// do makes the request and waits for the answer.
func (r *request) do(ctx context.Context) error {
	b := r.client.bucket
	r.client.step()
	if err := xsync.Cause(ctx); err != nil {
		return fmt.Errorf("%w: %w", env.ErrUnavailable, err)
	}
	b.mu.Lock()
	luck := b.draw(r)
	if r.conditional {
		b.inFlight[r.key]++
	}
	b.mu.Unlock()
	if b.opts.After == nil {
		return r.atOnce(luck)
	}
	r.answer = xsync.NewWatch(r.client.env, answer{})
	r.send(luck)
	got, err := r.answer.Await(ctx, func(a answer) bool { return a.there })
	if err != nil {
		return r.noAnswer(err)
	}
	return got.err
}

// noAnswer is what a caller makes of silence: a read just failed, a write may
// have been done.
func (r *request) noAnswer(cause error) error {
	kind := env.ErrUnavailable
	if r.writes {
		kind = env.ErrUnknown
	}
	return fmt.Errorf("%w: %w", kind, cause)
}

// atOnce is a request where nothing takes time.
func (r *request) atOnce(luck fortune) error {
	b := r.client.bucket
	switch {
	case luck.refused != nil:
		r.landed()
		return luck.refused
	case luck.late > 0:
		b.mu.Lock()
		b.late = append(b.late, func() { r.effect(luck) })
		b.mu.Unlock()
		return r.noAnswer(env.ErrTimeout)
	}
	err := r.effect(luck)
	if luck.lost {
		return r.noAnswer(env.ErrTimeout)
	}
	return err
}

// send has the world carry the request there and the answer back. Once sent,
// it takes effect even if the process that made it is dead by then.
func (r *request) send(luck fortune) {
	after := r.client.bucket.opts.After
	if luck.lost {
		after(luck.timeout, func() { r.reply(r.noAnswer(env.ErrTimeout)) })
	}
	after(luck.there, func() {
		if luck.late > 0 {
			after(luck.timeout+luck.late, func() { r.effect(luck) })
			return
		}
		err := r.effect(luck)
		if !luck.lost {
			after(luck.back, func() { r.reply(err) })
		}
	})
}

func (r *request) reply(err error) { r.answer.Set(answer{true, err}) }

// effect is the request taking effect at the bucket.
func (r *request) effect(luck fortune) error {
	b := r.client.bucket
	b.mu.Lock()
	defer b.mu.Unlock()
	defer r.landedLocked()
	switch {
	case luck.refused != nil:
		return luck.refused
	case luck.never:
		if b.watch != nil {
			b.watch(ObjectOp{Owner: r.client.owner, Kind: "lost", Key: r.key, Unheard: true}, nil)
		}
		return nil
	}
	b.unheard = luck.lost
	err := r.execute()
	if luck.twice {
		err = r.execute()
	}
	b.unheard = false
	return err
}

// landed says that a conditional Put is no longer in flight.
func (r *request) landed() {
	r.client.bucket.mu.Lock()
	defer r.client.bucket.mu.Unlock()
	r.landedLocked()
}

func (r *request) landedLocked() {
	if b := r.client.bucket; r.conditional {
		if b.inFlight[r.key]--; b.inFlight[r.key] == 0 {
			delete(b.inFlight, r.key)
		}
	}
}
