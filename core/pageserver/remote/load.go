package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/layer"
	"xenon/core/register"
)

// Bounds of the pause between two requests to a store that did not answer well.
const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

func prefix(id core.TTID) string { return layer.TimelinePrefix(id, core.Unsharded) }

func indexName(id core.TTID, gen core.Generation) string {
	return fmt.Sprintf("%sindex-%08x", prefix(id), uint32(gen))
}

// Peek reads the newest index of a timeline, whoever owns it: to look, not to
// build on. A timeline that never was is [env.ErrNotFound]; a deleted one is
// returned, and says so. While the store does not answer it tries again, until
// ctx ends.
func Peek(ctx context.Context, e env.Env, id core.TTID) (*Index, error) {
	gens, err := indices(ctx, e, id)
	if err != nil {
		return nil, fmt.Errorf("timeline %s: %w", id, err)
	}
	if len(gens) == 0 {
		return nil, fmt.Errorf("timeline %s has no index: %w", id, env.ErrNotFound)
	}
	return readIndex(ctx, e, id, gens[len(gens)-1])
}

// indices lists the generations that have an index, in their order.
func indices(ctx context.Context, e env.Env, id core.TTID) ([]core.Generation, error) {
	var gens []core.Generation
	err := list(ctx, e, prefix(id)+"index-", func(rest string) error {
		n, err := strconv.ParseUint(rest, 16, 32)
		if err != nil || len(rest) != 8 {
			return fmt.Errorf("object %sindex-%s is no index: %w", prefix(id), rest, env.ErrCorrupt)
		}
		gens = append(gens, core.Generation(n))
		return nil
	})
	slices.Sort(gens)
	return gens, err
}

// list calls emit with what follows prefix in each key that has it.
func list(ctx context.Context, e env.Env, prefix string, emit func(rest string) error) error {
	for o := (env.ListOpts{Prefix: prefix}); ; {
		var page env.ListPage
		err := retry(ctx, e.Clock(), func() (err error) {
			page, err = e.Objects().List(ctx, o)
			return err
		})
		if err != nil {
			return fmt.Errorf("list objects %s*: %w", prefix, err)
		}
		for _, m := range page.Objects {
			if err := emit(strings.TrimPrefix(m.Key, prefix)); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		o.Token = page.Next
	}
}

func readIndex(ctx context.Context, e env.Env, id core.TTID, gen core.Generation) (*Index, error) {
	s, err := register.NewSized(e, indexName(id, gen), MaxIndex).Read(ctx)
	if err != nil {
		return nil, err
	}
	if s.Version() == 0 {
		return nil, fmt.Errorf("index %s is gone: %w", indexName(id, gen), env.ErrNotFound)
	}
	return decodeFor(id, gen, s.Payload)
}

// GivenUp tells whether the newest generation of a timeline is one that who
// minted and that nobody will ever use: its creation took effect after it had
// been given up, so that it has no index. Whoever it supersedes loses nothing by
// taking the timeline over anew, and nobody else will. A generation that is just
// being taken looks the same for as long as its first index is not there.
func GivenUp(ctx context.Context, e env.Env, id core.TTID, who string) (bool, error) {
	gen, err := register.Newest(ctx, e, prefix(id))
	if err != nil {
		return false, fmt.Errorf("look for the owner of timeline %s: %w", id, err)
	}
	gens, err := indices(ctx, e, id)
	if err != nil || len(gens) == 0 || gens[len(gens)-1] >= gen {
		return false, err
	}
	s, err := register.New(e, register.GenerationKey(prefix(id), gen)).Read(ctx)
	return string(s.Payload) == who, err
}

// IndexIn decodes an object of the store that holds an index, for those who
// look at objects: key tells of which timeline and generation it must be. ok is
// false for keys of other things.
func IndexIn(key string, object []byte) (x *Index, ok bool, err error) {
	at, digits, found := strings.Cut(key, "/index-")
	gen, bad := strconv.ParseUint(digits, 16, 32)
	if !found || bad != nil || len(digits) != 8 {
		return nil, false, nil
	}
	payload, err := register.Payload(object)
	if err != nil {
		return nil, true, fmt.Errorf("index %s: %w", key, err)
	}
	if x, err = DecodeIndex(key, payload); err != nil {
		return nil, true, err
	}
	if prefix(x.TTID()) != at+"/" || x.Generation != core.Generation(gen) {
		return nil, true, foreign(key, x)
	}
	return x, true, nil
}

func foreign(key string, x *Index) error {
	return fmt.Errorf("index %s is of timeline %s shard %s generation %d: %w", key, x.TTID(), x.Shard, x.Generation, env.ErrCorrupt)
}

// decodeFor decodes the index of a timeline and a generation, and of no other.
func decodeFor(id core.TTID, gen core.Generation, b []byte) (*Index, error) {
	name := indexName(id, gen)
	x, err := DecodeIndex(name, b)
	if err != nil {
		return nil, err
	}
	if x.TTID() != id || x.Shard != core.Unsharded.String() || x.Generation != gen {
		return nil, foreign(name, x)
	}
	return x, nil
}

// transient tells whether the same request may fare better.
func transient(err error) bool {
	for _, kind := range []error{env.ErrUnknown, env.ErrUnavailable, env.ErrSlowDown, env.ErrConflict, env.ErrTimeout, env.ErrConnReset, env.ErrConnRefused, io.ErrUnexpectedEOF} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// retry calls f until it succeeds, fails for good, or ctx ends.
func retry(ctx context.Context, clock env.Clock, f func() error) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil || !transient(err) {
			return err
		}
		if cause := clock.Sleep(ctx, pause); cause != nil {
			return fmt.Errorf("%w (last: %w)", cause, err)
		}
	}
}
