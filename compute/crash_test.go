package compute_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"xenon/compute"
)

// A crash run kills, cuts off and replaces everything that an endpoint needs,
// and the endpoint, at random moments.
type crash struct {
	*cluster
	quiet      bool
	kills      int // of a compute's process
	superseded int
}

// nemesis does one harm, or mends one, every now and then.
func (c *crash) nemesis() {
	if c.quiet {
		return
	}
	i, h := c.rand.IntN(len(c.sks)), c.hosts[c.rand.IntN(2)]
	sk := c.sks[i]
	switch k := c.rand.IntN(16); {
	case !sk.Running():
		c.startSK(i)
	case !c.ps.Running():
		c.startPS()
	case k == 0:
		sk.Kill()
	case k == 1:
		sk.PowerCut()
	case k == 2:
		c.ps.PowerCut()
	case k == 3:
		c.w.Partition([]string{h.proc.Name()}, []string{sk.Name()})
	case k == 4:
		c.w.Reset(h.proc.Name(), sk.Name())
	case k == 5:
		c.bucket.SetOutage(true)
	case k <= 8 && h.proc.Running():
		c.kills++
		h.proc.Kill()
	case k == 9 && h.proc.Running():
		c.kills++
		h.proc.PowerCut()
	case k == 10 && h.server != nil && h.proc.Running():
		h.server.die("signal 9")
	case k == 11 && h.ep != nil && h.proc.Running():
		h.ep.Stop()
	case k <= 13:
		c.revive(h)
	default:
		c.w.HealAll()
		c.bucket.SetOutage(false)
	}
	if !c.hosts[0].proc.Running() && !c.hosts[1].proc.Running() {
		c.revive(h)
	}
	c.w.After(time.Duration(20+c.rand.IntN(400))*time.Millisecond, c.nemesis)
}

// revive starts an endpoint on a host that has none; it takes over.
func (c *crash) revive(h *computeHost) {
	if h.proc.Running() {
		return
	}
	if errors.Is(h.ended, compute.ErrSuperseded) {
		c.superseded++
	}
	h.takeover = true
	h.start()
}

func (c *crash) run(harm time.Duration) error {
	c.revive(c.hosts[0])
	c.w.After(time.Second, c.nemesis)
	if err := c.w.Run(harm, nil); err != nil {
		return err
	}
	c.quiet = true
	c.w.HealAll()
	c.bucket.SetOutage(false)
	for i, sk := range c.sks {
		if !sk.Running() {
			c.startSK(i)
		}
	}
	if !c.ps.Running() {
		c.startPS()
	}
	for _, h := range c.hosts {
		if h.proc.Running() {
			h.proc.Kill()
		}
	}
	c.revive(c.hosts[0])
	want := c.ledger.commits + 10
	if err := c.w.Run(2*time.Minute, func() bool { return c.ledger.commits >= want }); err != nil {
		return fmt.Errorf("after healing (%+v): %w", c.hosts[0].status(), err)
	}
	return c.w.Close()
}

// TestCrashes: whatever is killed, and whenever, what was acknowledged is what
// the next server reads.
func TestCrashes(t *testing.T) {
	seeds, harm := uint64(3), 10*time.Second
	if os.Getenv("XENON_FULL") != "" {
		seeds, harm = 200, 30*time.Second
	}
	for seed := range seeds {
		hash, c, err := crashes(seed, harm)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %d commits, %d reads, %d kills of a compute, %d takeovers noticed, hash %016x", seed, c.ledger.commits, c.ledger.reads, c.kills, c.superseded, hash)
		if c.ledger.commits < 50 || c.kills < 2 {
			t.Errorf("seed %d: %d commits, %d kills", seed, c.ledger.commits, c.kills)
		}
	}
}

func crashes(seed uint64, harm time.Duration) (uint64, *crash, error) {
	made, err := newCluster(seed)
	if err != nil {
		return 0, nil, err
	}
	c := &crash{cluster: made}
	err = c.run(harm)
	return c.w.Hash(), c, errors.Join(err, c.w.Close())
}

// TestCrashesRepeat: one seed is one run.
func TestCrashesRepeat(t *testing.T) {
	a, _, err := crashes(3, 4*time.Second)
	b, _, err2 := crashes(3, 4*time.Second)
	if err != nil || err2 != nil || a != b {
		t.Errorf("two runs of one seed have the hashes %x and %x (%v, %v)", a, b, err, err2)
	}
}
