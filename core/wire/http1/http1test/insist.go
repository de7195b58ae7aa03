// Package http1test is what tests ask nodes that are only starting. Tests alone
// use it.
package http1test

import (
	"context"
	"time"

	"xenon/core/env"
	"xenon/core/wire/http1"
)

// Tries and Pause are how often Insist asks, and how long it waits in between.
const (
	Tries = 200
	Pause = 50 * time.Millisecond
)

// Insist posts body until it is taken, and returns the last refusal if it never
// is.
func Insist(ctx context.Context, e env.Env, addr, path string, body any) (err error) {
	for range Tries {
		if err = http1.Call(ctx, e, addr, "POST", path, body, nil); err == nil {
			return nil
		}
		if err := e.Clock().Sleep(ctx, Pause); err != nil {
			return err
		}
	}
	return err
}
