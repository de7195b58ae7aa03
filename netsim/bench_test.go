package netsim_test

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
	"xenon/netsim"
)

func bench(b *testing.B, main netsim.Main) *netsim.World {
	b.Helper()
	b.ReportAllocs()
	w := netsim.New(netsim.Options{Seed: 1, Still: math.MaxInt})
	if err := errors.Join(w.Do(1e6*time.Hour, main), w.Close()); err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkSwitch is one step: a task gives way to another.
func BenchmarkSwitch(b *testing.B) {
	bench(b, func(ctx context.Context, e env.Env) error {
		a, c := e.NewWaiter(), e.NewWaiter()
		n := b.N / 2
		e.Go("other", func(context.Context) {
			for range n {
				a.Wait("turn")
				c.Wake()
			}
		})
		for range n {
			a.Wake()
			c.Wait("turn")
		}
		return nil
	})
}

// BenchmarkSleep is a timer and a step.
func BenchmarkSleep(b *testing.B) {
	bench(b, func(ctx context.Context, e env.Env) error {
		for range b.N {
			if err := e.Clock().Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
}

// BenchmarkSpawn makes a task that ends at once.
func BenchmarkSpawn(b *testing.B) {
	bench(b, func(ctx context.Context, e env.Env) error {
		done := e.NewWaiter()
		for range b.N {
			e.Go("short", func(context.Context) { done.Wake() })
			done.Wait("spawned")
		}
		return nil
	})
}

// BenchmarkRoundTrip sends 1 KiB and reads it back.
func BenchmarkRoundTrip(b *testing.B) {
	b.SetBytes(2048)
	w := bench(b, func(ctx context.Context, e env.Env) error {
		l, err := e.Net().Listen(ctx, ":7")
		if err != nil {
			return err
		}
		e.Go("echo", func(context.Context) {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1024)
			for {
				if _, err := io.ReadFull(c, buf); err != nil {
					return
				}
				if _, err := c.Write(buf); err != nil {
					return
				}
			}
		})
		c, err := e.Net().Dial(ctx, "localhost:7")
		if err != nil {
			return err
		}
		buf := make([]byte, 1024)
		for range b.N {
			if _, err := c.Write(buf); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				return err
			}
		}
		return c.Close()
	})
	b.ReportMetric(float64(w.Steps())/float64(b.N), "steps/op")
}

// BenchmarkQueue hands an item from one task to another.
func BenchmarkQueue(b *testing.B) {
	bench(b, func(ctx context.Context, e env.Env) error {
		q := xsync.NewQueue[int](e, 16)
		e.Go("producer", func(ctx context.Context) {
			for i := range b.N {
				_ = q.Push(ctx, i)
			}
			q.Close(nil)
		})
		for {
			if _, err := q.Pop(ctx); err != nil {
				return nil
			}
		}
	})
}
