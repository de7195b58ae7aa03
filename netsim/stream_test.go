package netsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/netsim"
)

// chatter runs two clients that each talk to a server of their own; the second
// one starts at a time of its own and makes so many calls.
func chatter(t *testing.T, o netsim.Options, calls int) (seen map[string][]time.Duration, hash uint64, steps uint64) {
	t.Helper()
	seen = map[string][]time.Duration{}
	w := netsim.New(o)
	for i, n := range []int{20, calls} {
		server, client := fmt.Sprintf("server%d", i), fmt.Sprintf("client%d", i)
		w.Proc(server, netsim.ProcOptions{}).Start(func(ctx context.Context, e env.Env) error {
			l, err := e.Net().Listen(ctx, server+":1")
			if err != nil {
				return err
			}
			for {
				c, err := l.Accept()
				if err != nil {
					return err
				}
				c.Write([]byte("hello"))
				c.Close()
			}
		})
		w.Proc(client, netsim.ProcOptions{}).Start(func(ctx context.Context, e env.Env) error {
			dice := e.Rand("pauses")
			for range n {
				if err := e.Clock().Sleep(ctx, time.Duration(1+dice.IntN(20))*time.Millisecond); err != nil {
					return err
				}
				c, err := e.Net().Dial(ctx, server+":1")
				if err != nil {
					return err
				}
				var b [8]byte
				c.Read(b[:])
				c.Close()
				seen[client] = append(seen[client], w.Elapsed())
			}
			return nil
		})
	}
	if err := w.Run(5*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return seen, w.Hash(), w.Steps()
}

// TestStreamsAreApart: what one client is dealt does not depend on how much
// another does.
func TestStreamsAreApart(t *testing.T) {
	few, _, _ := chatter(t, netsim.Options{Seed: 7}, 3)
	many, _, _ := chatter(t, netsim.Options{Seed: 7}, 40)
	if len(few["client0"]) != 20 || !slices.Equal(few["client0"], many["client0"]) {
		t.Errorf("client0 saw %v, and %v beside a busier client1", few["client0"], many["client0"])
	}
	other, _, _ := chatter(t, netsim.Options{Seed: 8}, 3)
	if slices.Equal(few["client0"], other["client0"]) {
		t.Error("another seed deals the same")
	}
}

// TestFork: a run that forks is the same up to that step and another one from
// there on; each kind of stream can be changed alone.
func TestFork(t *testing.T) {
	plain, hash, steps := chatter(t, netsim.Options{Seed: 7}, 20)
	at := steps / 2
	for _, stream := range []string{"", "links", "processes"} {
		forked, other, _ := chatter(t, netsim.Options{Seed: 7, Forks: []netsim.Fork{{Step: at, Stream: stream, Seed: 1}}}, 20)
		if other == hash {
			t.Errorf("a fork of %q changes nothing", stream)
		}
		same := 0
		for same < 20 && plain["client0"][same] == forked["client0"][same] {
			same++
		}
		if same == 0 || same == 20 {
			t.Errorf("after a fork of %q in the middle %d of 20 calls were the same", stream, same)
		}
		again, third, _ := chatter(t, netsim.Options{Seed: 7, Forks: []netsim.Fork{{Step: at, Stream: stream, Seed: 1}}}, 20)
		if third != other || !slices.Equal(again["client0"], forked["client0"]) {
			t.Errorf("a fork of %q is not the same twice", stream)
		}
	}
	if _, late, _ := chatter(t, netsim.Options{Seed: 7, Forks: []netsim.Fork{{Step: steps + 1, Seed: 1}}}, 20); late != hash {
		t.Error("a fork behind the end changes the run")
	}
}

// TestPolicies: every policy gives runs of its own, and one whose choices are
// all left to order is that of order.
func TestPolicies(t *testing.T) {
	hashes := map[uint64]string{}
	run := func(p netsim.Policy) uint64 {
		_, hash, _ := chatter(t, netsim.Options{Seed: 7, Policy: p, Even: true, Link: netsim.LinkOptions{Latency: time.Millisecond, Window: 1 << 10, UserTimeout: time.Minute, KeepAlive: time.Minute}}, 20)
		return hash
	}
	order := run(netsim.Policy{Kind: netsim.InOrder})
	if got := run(netsim.Policy{Kind: netsim.AtRandom, Within: []netsim.Span{{First: 1 << 40, Count: 1}}}); got != order {
		t.Error("a policy that never chooses is not order")
	}
	if got := run(netsim.Policy{Kind: netsim.AtRandom, Within: []netsim.Span{{First: 1, Count: 1 << 40}}}); got != run(netsim.Policy{}) {
		t.Error("a policy that always chooses is not the one without spans")
	}
	for k := range netsim.PolicyKinds {
		if netsim.PolicyKind(k) == netsim.StarveTask {
			continue // the task that it draws may never be born here
		}
		p := netsim.Policy{Kind: netsim.PolicyKind(k), Depth: 10, Horizon: 50, Starved: "server0", Stay: 900}
		h := run(p)
		if other, ok := hashes[h]; ok {
			t.Errorf("%s runs as %s", p.Kind, other)
		}
		hashes[h] = p.Kind.String()
	}
}

// TestPolicyText: kinds are read as they are written, and by the numbers that
// they had.
func TestPolicyText(t *testing.T) {
	for k := range netsim.PolicyKinds {
		b, err := json.Marshal(netsim.PolicyKind(k))
		var got netsim.PolicyKind
		if err != nil || json.Unmarshal(b, &got) != nil || int(got) != k {
			t.Errorf("kind %d is written %s and read %v", k, b, got)
		}
	}
	tests := []struct {
		text string
		want netsim.PolicyKind
		ok   bool
	}{{"3", netsim.StarveTask, true}, {"0", netsim.AtRandom, true}, {"5", 0, false}, {"-1", 0, false}, {`"fifo"`, 0, false}, {`"biased"`, netsim.Biased, true}}
	for _, tt := range tests {
		var got netsim.PolicyKind
		if err := json.Unmarshal([]byte(tt.text), &got); err == nil != tt.ok || got != tt.want {
			t.Errorf("%s: %v, %v", tt.text, got, err)
		}
	}
}
