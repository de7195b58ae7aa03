package ctl

import "xenon/core"

// A MembershipRequest is the body of POST /membership: safekeeper Add comes,
// Remove goes, 0 for none.
type MembershipRequest struct {
	Add core.NodeID `json:"add,omitempty"`
	// New asks for a safekeeper with the next number in the place of Add.
	New    bool        `json:"new,omitempty"`
	Remove core.NodeID `json:"remove,omitempty"`
}

// A MembershipChange is the answer: what came and went, and what could not be
// tidied up.
type MembershipChange struct {
	Added    core.NodeID  `json:"added,omitempty"`
	Listen   string       `json:"listen,omitempty"` // of the added one
	Removed  core.NodeID  `json:"removed,omitempty"`
	Branches []Membership `json:"branches"`
	Left     []string     `json:"left,omitempty"`
}

// A Membership says who keeps the WAL of a branch.
type Membership struct {
	Branch     string          `json:"branch"`
	Generation core.Generation `json:"generation"`
	Members    []core.NodeID   `json:"members"`
	// NewMembers are there while a change is under way: what needs a majority
	// then needs one of each set.
	NewMembers []core.NodeID `json:"new_members,omitempty"`
	// Leavers have left, and may not have deleted their copy yet.
	Leavers []core.NodeID `json:"leavers,omitempty"`
}
