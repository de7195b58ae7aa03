package core

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// A Term numbers the reigns of proposers over one timeline; 0 is before the
// first election.
type Term uint64

// A Generation numbers the owners of a timeline at the object store, and the
// membership configurations of its safekeepers. The first is 1.
type Generation uint32

// A NodeID names one safekeeper or pageserver of an installation; 0 is none.
type NodeID uint64

// A TenantID names a tenant: 16 random bytes, 32 lower-case hex digits.
type TenantID [16]byte

// A TimelineID names a timeline, the history of one branch.
type TimelineID [16]byte

// Tag is the first half of the id, by which the events of a trace name the
// timeline: ids are random, and two of an installation hardly share it.
func (t TimelineID) Tag() uint64 { return binary.BigEndian.Uint64(t[:]) }

func (t TenantID) String() string   { return hex.EncodeToString(t[:]) }
func (t TimelineID) String() string { return hex.EncodeToString(t[:]) }

// MarshalText and UnmarshalText make ids strings in JSON and TOML.
func (t TenantID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads 32 hex digits.
func (t *TenantID) UnmarshalText(b []byte) error { return parseID((*[16]byte)(t), "tenant", string(b)) }

// MarshalText is the 32 hex digits.
func (t TimelineID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads 32 hex digits.
func (t *TimelineID) UnmarshalText(b []byte) error {
	return parseID((*[16]byte)(t), "timeline", string(b))
}

// ParseTenantID reads 32 hex digits.
func ParseTenantID(s string) (t TenantID, err error) { err = t.UnmarshalText([]byte(s)); return }

// ParseTimelineID reads 32 hex digits.
func ParseTimelineID(s string) (t TimelineID, err error) { err = t.UnmarshalText([]byte(s)); return }

func parseID(dst *[16]byte, what, s string) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("%s id %q: want 32 hex digits", what, s)
	}
	copy(dst[:], b)
	return nil
}

// NewTenantID draws an id from entropy.
func NewTenantID(entropy io.Reader) (t TenantID, err error) {
	_, err = io.ReadFull(entropy, t[:])
	return t, err
}

// NewTimelineID draws an id from entropy.
func NewTimelineID(entropy io.Reader) (t TimelineID, err error) {
	_, err = io.ReadFull(entropy, t[:])
	return t, err
}

// TTID names a timeline of a tenant.
type TTID struct {
	Tenant   TenantID
	Timeline TimelineID
}

func (t TTID) String() string { return t.Tenant.String() + "/" + t.Timeline.String() }

// A ShardID is one of Count parts of a tenant's pages. The unsharded tenant is
// shard 0 of 1, written 0001 in paths, object names and headers.
type ShardID struct{ Number, Count uint8 }

// Unsharded is the one shard of a tenant that is not split.
var Unsharded = ShardID{Number: 0, Count: 1}

func (s ShardID) String() string { return fmt.Sprintf("%02x%02x", s.Number, s.Count) }
