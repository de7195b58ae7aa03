package safekeeper

import (
	"errors"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

var (
	testID      = core.TTID{Tenant: core.TenantID{1}, Timeline: core.TimelineID{2}}
	testControl = consensus.Control{
		Config: consensus.Configuration{Generation: 1, Members: []consensus.Member{{ID: 1, Host: "a", Port: 1}}},
		Server: consensus.Server{PGVersion: 150018, SystemID: 7, SegmentSize: 1 << 24},
		Term:   3, History: consensus.History{{Term: 2, LSN: 0x1000028}, {Term: 3, LSN: 0x1000100}},
		TimelineStart: 0x1000028, LocalStart: 0x1000028, Commit: 0x1000080, Horizon: 0x1000028, RemoteConsistent: 0x1000028,
	}
)

// Any single bit that changes in a sealed file is found.
func TestSealedFindsEveryBit(t *testing.T) {
	b := seal(controlMagic, encodeControl(1, testID, &testControl))
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := unseal(controlMagic, b); err == nil {
				t.Fatalf("bit %d of byte %d", bit, i)
			}
			b[i] ^= 1 << bit
		}
	}
	for n := range b {
		if _, err := unseal(controlMagic, b[:n]); !errors.Is(err, env.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzControl(f *testing.F) {
	f.Add(encodeControl(1, testID, &testControl))
	f.Add([]byte(`{"node":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeControl(b, 1, testID)
		if err != nil {
			return
		}
		again, err := decodeControl(encodeControl(1, testID, &c), 1, testID)
		if err != nil || again.History.String() != c.History.String() || again.Commit != c.Commit || again.Server != c.Server {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

func FuzzSealed(f *testing.F) {
	f.Add(seal(rosterMagic, []byte(`{"node":1,"timelines":[]}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := unseal(rosterMagic, b); err == nil {
			_, _ = decodeRoster(body, 1)
		}
	})
}
