package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/env"
)

// Mint takes a generation number under prefix that is higher than every
// number minted before the call, and that nobody else has or will get. owner
// is kept in the object, for people who look.
//
// A number whose creation has an unknown outcome is given up: numbers may be
// burnt, never shared. While the store does not answer Mint tries again, until
// ctx ends.
func Mint(ctx context.Context, e env.Env, prefix string, owner []byte) (core.Generation, error) {
	g, err := mint(ctx, e, prefix, owner)
	if err != nil {
		return 0, fmt.Errorf("mint a generation under %s: %w", prefix, err)
	}
	return g, nil
}

func mint(ctx context.Context, e env.Env, prefix string, owner []byte) (core.Generation, error) {
	var c content
	c.version, c.payload = 1, owner
	if _, err := io.ReadFull(e.Entropy(), c.nonce[:]); err != nil {
		return 0, err
	}
	highest, err := Newest(ctx, e, prefix)
	if err != nil {
		return 0, err
	}
	for {
		if highest == math.MaxUint32 {
			return 0, fmt.Errorf("generation %d is the last there can be", highest)
		}
		highest++
		taken, err := take(ctx, e, GenerationKey(prefix, highest), c.encode())
		if taken || err != nil {
			return highest, err
		}
	}
}

// take creates key, and tells whether that certainly succeeded. It goes on
// asking as long as nothing is done, and gives up on anything unclear.
func take(ctx context.Context, e env.Env, key string, body []byte) (taken bool, err error) {
	err = retry(ctx, e.Clock(), func() error {
		_, err := e.Objects().Put(ctx, key, env.Bytes(body), env.PutOpts{IfNoneMatch: true})
		taken = err == nil
		if errors.Is(err, env.ErrUnavailable) || errors.Is(err, env.ErrSlowDown) {
			return err
		}
		if transient(err) || errors.Is(err, env.ErrPrecondition) || errors.Is(err, env.ErrConflict) {
			return nil
		}
		return err
	})
	return taken, err
}

// Newest is the highest generation under prefix; 0 if there is none.
func Newest(ctx context.Context, e env.Env, prefix string) (newest core.Generation, err error) {
	o := env.ListOpts{Prefix: prefix + generations}
	for {
		var page env.ListPage
		err := retry(ctx, e.Clock(), func() (err error) {
			page, err = e.Objects().List(ctx, o)
			return err
		})
		if err != nil {
			return 0, err
		}
		for _, m := range page.Objects {
			g, ok := parseGeneration(strings.TrimPrefix(m.Key, o.Prefix))
			if !ok {
				return 0, fmt.Errorf("object %q is no generation: %w", m.Key, env.ErrCorrupt)
			}
			newest = max(newest, g)
		}
		if page.Next == "" {
			return newest, nil
		}
		o.Token = page.Next
	}
}

// generations comes between a prefix and the numbers.
const generations = "gen/"

// GenerationKey is the key whose creation mints g under prefix, which ends
// with a slash: eight hex digits, so that keys sort as numbers do.
func GenerationKey(prefix string, g core.Generation) string {
	return fmt.Sprintf("%s%s%08x", prefix, generations, uint32(g))
}

func parseGeneration(s string) (core.Generation, bool) {
	n, err := strconv.ParseUint(s, 16, 32)
	return core.Generation(n), err == nil && len(s) == 8
}
