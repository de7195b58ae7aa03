package netsim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"xenon/core/env"
	"xenon/netsim"
)

// A server and a client are ordinary code: they listen, dial, sleep. The world
// decides how long everything takes, from the seed.
func Example() {
	w := netsim.New(netsim.Options{Seed: 1})
	w.Proc("server", netsim.ProcOptions{}).Start(greet)
	err := w.Do(time.Minute, func(ctx context.Context, e env.Env) error {
		c, err := e.Net().Dial(ctx, "server:80")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, "world\n"); err != nil {
			return err
		}
		answer, err := bufio.NewReader(c).ReadString('\n')
		fmt.Print(answer)
		return err
	})
	fmt.Println("error:", err)
	fmt.Println("it took less than 5 ms of simulated time:", w.Elapsed() < 5*time.Millisecond)
	// Output:
	// hello world
	// error: <nil>
	// it took less than 5 ms of simulated time: true
}

// greet answers every line.
func greet(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, ":80")
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		e.Go("greet", func(context.Context) {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				name, err := r.ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprintf(c, "hello %s", name)
			}
		})
	}
}

// Faults are what happens at a time of the world, outside every process: here a
// server is killed, and started again a second later. Its client tries on.
func ExampleWorld_After() {
	w := netsim.New(netsim.Options{Seed: 7})
	server := w.Proc("server", netsim.ProcOptions{})
	server.Start(greet)
	w.After(500*time.Millisecond, server.Kill)
	w.After(1500*time.Millisecond, func() { server.Start(greet) })
	answers, refused := 0, 0
	w.Proc("client", netsim.ProcOptions{}).Start(func(ctx context.Context, e env.Env) error {
		for {
			c, err := e.Net().Dial(ctx, "server:80")
			if err != nil {
				refused++
			} else {
				fmt.Fprintln(c, "you")
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					answers++
				}
				c.Close()
			}
			if err := e.Clock().Sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	})
	if err := w.Run(3*time.Second, nil); err != nil {
		fmt.Println(err)
	}
	fmt.Println("incarnations:", server.Incarnation())
	fmt.Println("some were answered, some refused:", answers > 15, refused > 5)
	// Output:
	// incarnations: 2
	// some were answered, some refused: true true
}

// Two runs of one seed are the same run: equal hashes say so, here and on any
// other machine.
func ExampleWorld_Hash() {
	run := func(seed uint64) uint64 {
		w := netsim.New(netsim.Options{Seed: seed, Yields: 100})
		w.Proc("server", netsim.ProcOptions{}).Start(greet)
		w.Do(time.Second, func(ctx context.Context, e env.Env) error {
			c, err := e.Net().Dial(ctx, "server:80")
			if err != nil {
				return err
			}
			fmt.Fprintln(c, e.Rand("names").IntN(1000))
			_, err = bufio.NewReader(c).ReadString('\n')
			return err
		})
		return w.Hash()
	}
	fmt.Println(run(1) == run(1), run(1) == run(2))
	// Output: true false
}
