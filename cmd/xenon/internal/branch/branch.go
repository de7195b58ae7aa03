// Package branch is the registry of branches: which timeline a name means,
// and what never changes about it. It is kept in the object store, a register
// for each name.
//
// Start at [Branch].
package branch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/register"
)

// Main is the branch that an empty installation begins with.
const Main = "main"

// A Branch is a timeline with a name.
type Branch struct {
	Name     string          `json:"name"`
	Tenant   core.TenantID   `json:"tenant"`
	Timeline core.TimelineID `json:"timeline"`

	PGVersion   uint32   `json:"pg_version"` // PG_VERSION_NUM, e.g. 150018
	SystemID    uint64   `json:"system_id"`
	SegmentSize uint32   `json:"wal_seg_size"` // bytes
	Start       core.LSN `json:"start_lsn"`    // where its WAL begins
	// Imported tells that its users brought it along, passwords and all.
	Imported bool `json:"imported"`
	// Settings are those that the cluster ran with before and that a server
	// needs to have at least as large (pg_control has them).
	Settings map[string]string `json:"settings,omitempty"`
}

// TTID names the timeline.
func (b Branch) TTID() core.TTID { return core.TTID{Tenant: b.Tenant, Timeline: b.Timeline} }

var (
	// ErrMissing reports a name that no branch has.
	ErrMissing = errors.New("no such branch")
	// ErrExists reports a name that a branch has already.
	ErrExists = errors.New("a branch of this name exists already")
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// CheckName says what is wrong with a name for a branch.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("branch name %q: want 1 to 63 of a-z 0-9 . _ -, the first a letter or a digit", name)
	}
	return nil
}

const prefix = "branches/"

func key(name string) string { return prefix + name + "/branch" }

// Create enters a branch under its name.
func Create(ctx context.Context, e env.Env, b Branch) error {
	if err := CheckName(b.Name); err != nil {
		return err
	}
	payload, err := json.Marshal(b)
	if err != nil {
		return err
	}
	_, err = register.New(e, key(b.Name)).Write(ctx, register.State{}, payload)
	if errors.Is(err, register.ErrChanged) {
		return fmt.Errorf("%w: %s", ErrExists, b.Name)
	}
	return err
}

// Load finds the branch with a name.
func Load(ctx context.Context, e env.Env, name string) (b Branch, err error) {
	if err := CheckName(name); err != nil {
		return b, err
	}
	s, err := register.New(e, key(name)).Read(ctx)
	if err != nil {
		return b, err
	}
	if s.Version() == 0 {
		return b, fmt.Errorf("%w: %s", ErrMissing, name)
	}
	if err := json.Unmarshal(s.Payload, &b); err != nil {
		return b, fmt.Errorf("register of branch %s: %w: %w", name, env.ErrCorrupt, err)
	}
	return b, nil
}

// List finds all branches, sorted by name.
func List(ctx context.Context, e env.Env) ([]Branch, error) {
	var all []Branch
	o := env.ListOpts{Prefix: prefix, Delimiter: "/"}
	for {
		page, err := e.Objects().List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("list branches: %w", err)
		}
		for _, p := range page.Prefixes {
			b, err := Load(ctx, e, strings.TrimSuffix(strings.TrimPrefix(p, prefix), "/"))
			if errors.Is(err, ErrMissing) {
				continue // its settings alone are there
			}
			if err != nil {
				return nil, err
			}
			all = append(all, b)
		}
		if page.Next == "" {
			return all, nil
		}
		o.Token = page.Next
	}
}
