package membership

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
)

// A Record is what the register of a timeline's membership holds.
type Record struct {
	Config consensus.Configuration `json:"mconf"`
	// Leavers may still hold the timeline and are to give it up.
	Leavers []consensus.Member `json:"leavers,omitempty"`
	// Arrivals are the members that came by a change, each with the disk that it
	// was given its copy on. Nobody else is ever given one: see [Arrival].
	Arrivals []Arrival `json:"arrivals,omitempty"`
	// Deleted says that the timeline is gone: its members change no more, and
	// nobody gets a copy.
	Deleted bool `json:"deleted,omitempty"`
}

// An Arrival is a member that came by a change. Its copy is made on one disk and
// on no other as long as it stays a member: a safekeeper that lost its disk has
// lost what it promised to proposers, who still count with it, and a copy does
// not bring promises back. It has to leave, and may come again.
type Arrival struct {
	Node core.NodeID `json:"id"`
	// Disk is the identity of the disk, "" before there is any copy.
	Disk string `json:"disk,omitempty"`
}

// Arrival is that of a member, nil if it is one since the timeline was created.
func (r Record) Arrival(id core.NodeID) *Arrival {
	i := slices.IndexFunc(r.Arrivals, func(a Arrival) bool { return a.Node == id })
	if i < 0 {
		return nil
	}
	return &r.Arrivals[i]
}

// Arriving is the record with the disk on which a member is about to be given a
// copy. It is written before there is any: a driver that comes later knows then
// which disk it was.
func (r Record) Arriving(id core.NodeID, disk string) Record {
	r.Arrivals = append(slices.DeleteFunc(slices.Clone(r.Arrivals), func(a Arrival) bool { return a.Node == id }), Arrival{id, disk})
	slices.SortFunc(r.Arrivals, func(a, b Arrival) int { return cmp.Compare(a.Node, b.Node) })
	return r
}

// Check reports a record that nobody can act on.
func (r Record) Check() error {
	if err := r.Config.Check(); err != nil {
		return err
	}
	for _, m := range r.Leavers {
		if r.Config.Has(m.ID) {
			return fmt.Errorf("safekeeper %d is to leave and is of %s", m.ID, r.Config)
		}
	}
	return nil
}

// Target is the set that the timeline has, or will have once the change under
// way is done.
func (r Record) Target() []consensus.Member {
	if len(r.Config.NewMembers) > 0 {
		return r.Config.NewMembers
	}
	return r.Config.Members
}

// Wanted is the target with some safekeepers added and some taken out, in the
// order of their numbers. An added one that is there already gets its new
// address. Doing the same edit twice changes nothing the second time.
func (r Record) Wanted(add []consensus.Member, remove []core.NodeID) []consensus.Member {
	out := slices.DeleteFunc(slices.Clone(r.Target()), func(m consensus.Member) bool { return has(add, m) || slices.Contains(remove, m.ID) })
	out = append(out, add...)
	slices.SortFunc(out, func(a, b consensus.Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Encode is the payload of the register.
func (r Record) Encode() ([]byte, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// Decode reads a payload. A member that this program does not know is an error.
func Decode(payload []byte) (r Record, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := errors.Join(d.Decode(&r), r.Check()); err != nil {
		return Record{}, fmt.Errorf("membership record: %w: %w", env.ErrCorrupt, err)
	}
	return r, nil
}

// has tells whether a set has a safekeeper, wherever it listens.
func has(set []consensus.Member, m consensus.Member) bool {
	return slices.ContainsFunc(set, func(o consensus.Member) bool { return o.ID == m.ID })
}

// SameMembers tells whether two sets are of the same safekeepers.
func SameMembers(a, b []consensus.Member) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m consensus.Member) bool { return !has(b, m) })
}

// without is what a set has that another has not.
func without(a, b []consensus.Member) (out []consensus.Member) {
	for _, m := range a {
		if !has(b, m) {
			out = append(out, m)
		}
	}
	return out
}
