// Package branch is the registry of branches: which timeline a name means,
// where it came from, and what never changes about it. It is kept in the
// object store, a register for each name.
//
// A branch is made and removed in several places. Its register is written
// first and last, so a crash in between leaves a name that says what to take
// away: see [State].
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
	"sync"
	"sync/atomic"
	"time"

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

	// Parent is the name of the branch it was made from and Ancestor its
	// timeline; a branch that was imported has neither.
	Parent   string          `json:"parent,omitempty"`
	Ancestor core.TimelineID `json:"ancestor,omitzero"`
	// Start is where its WAL begins: the branch point, if it has a parent.
	Start   core.LSN  `json:"start_lsn"`
	Created time.Time `json:"created,omitzero"`

	PGVersion   uint32 `json:"pg_version"` // PG_VERSION_NUM, e.g. 150018
	SystemID    uint64 `json:"system_id"`
	SegmentSize uint32 `json:"wal_seg_size"` // bytes
	// Imported tells that its users brought it along, passwords and all.
	Imported bool `json:"imported"`
	// Settings are those that the cluster ran with before and that a server
	// needs to have at least as large (pg_control has them).
	Settings map[string]string `json:"settings,omitempty"`

	// Registers names the registers of its endpoint and of its settings files.
	// The name will not do: another branch may get it once this one is gone.
	// Branches made before there were others have none.
	Registers string `json:"registers,omitempty"`
	State     State  `json:"state,omitempty"`
	// Missing are the safekeepers that were away when it was made and are to
	// get its timeline yet.
	Missing []core.NodeID `json:"missing_on,omitempty"`
}

// A State says whether a branch is there.
type State string

// The states of a branch, in their order. Whoever finds one that is Creating
// or Deleting, and knows that nobody is at it, takes away what there is of it.
const (
	Creating State = "creating" // parts of it may be there, nobody has used it
	Live     State = ""
	Deleting State = "deleting" // parts of it may be gone, nobody may use it
	Deleted  State = "deleted"  // nothing is left, the name is free
)

// TTID names the timeline.
func (b Branch) TTID() core.TTID { return core.TTID{Tenant: b.Tenant, Timeline: b.Timeline} }

// Major is the major version of PostgreSQL that its data is of.
func (b Branch) Major() int { return int(b.PGVersion / 10000) }

// RegisterName names the registers of its endpoint and settings.
func (b Branch) RegisterName() string {
	if b.Registers == "" {
		return b.Name
	}
	return b.Registers
}

// OwnRegisters gives the branch registers that no other ever has.
func (b *Branch) OwnRegisters() { b.Registers = b.Name + "/" + b.Timeline.String() }

var (
	// ErrMissing reports a name that no branch has.
	ErrMissing = errors.New("no such branch")
	// ErrExists reports a name that a branch has already.
	ErrExists = errors.New("a branch of this name exists already")
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// CheckName says what is wrong with a name for a branch, and suggests one that
// would do.
func CheckName(name string) error {
	if validName.MatchString(name) {
		return nil
	}
	err := fmt.Errorf("branch name %q: want 1 to 63 of a-z 0-9 . _ -, the first a letter or a digit", name)
	if near := nearestName(name); near != "" {
		err = fmt.Errorf("%w; how about %s?", err, near)
	}
	return err
}

// nearestName is a valid name like a malformed one, or "".
func nearestName(name string) string {
	allowed := func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return r
		}
		return '-'
	}
	near := strings.Trim(strings.Map(allowed, strings.ToLower(name)), "-._")
	near = near[:min(len(near), 63)]
	if !validName.MatchString(near) {
		return ""
	}
	return near
}

const prefix = "branches/"

func key(name string) string { return prefix + name + "/branch" }

// An Entry is what the registry says of a name at one moment. Only the one who
// holds the newest Entry can change it.
type Entry struct {
	Branch
	state register.State
}

// Find reads the entry of a name. A name that no branch ever had is Deleted.
func Find(ctx context.Context, e env.Env, name string) (Entry, error) {
	var n Entry
	if err := CheckName(name); err != nil {
		return n, err
	}
	s, err := register.New(e, key(name)).Read(ctx)
	if err != nil {
		return n, err
	}
	n.state = s
	if s.Version() == 0 {
		n.Branch = Branch{Name: name, State: Deleted}
		return n, nil
	}
	if err := json.Unmarshal(s.Payload, &n.Branch); err != nil {
		return n, fmt.Errorf("register of branch %s: %w: %w", name, env.ErrCorrupt, err)
	}
	return n, nil
}

// Set replaces the entry by b, of the same name. [register.ErrChanged] reports
// that somebody else has changed it meanwhile.
func (n Entry) Set(ctx context.Context, e env.Env, b Branch) (Entry, error) {
	core.Must(b.Name == n.Name, "branch %s in the register of %s", b.Name, n.Name)
	payload, err := json.Marshal(b)
	if err != nil {
		return n, err
	}
	s, err := register.New(e, key(b.Name)).Write(ctx, n.state, payload)
	if err != nil {
		return n, err
	}
	return Entry{Branch: b, state: s}, nil
}

// Create enters a branch that is whole, under a name that is free.
func Create(ctx context.Context, e env.Env, b Branch) error {
	n, err := Find(ctx, e, b.Name)
	if err != nil {
		return err
	}
	if n.State != Deleted {
		return fmt.Errorf("%w: %s", ErrExists, b.Name)
	}
	if _, err = n.Set(ctx, e, b); errors.Is(err, register.ErrChanged) {
		return fmt.Errorf("%w: %s", ErrExists, b.Name)
	}
	return err
}

// Load finds the live branch with a name.
func Load(ctx context.Context, e env.Env, name string) (Branch, error) {
	n, err := Find(ctx, e, name)
	if err == nil && n.State != Live {
		err = fmt.Errorf("%w: %s", ErrMissing, name)
	}
	return n.Branch, err
}

// List finds all live branches, sorted by name.
func List(ctx context.Context, e env.Env) ([]Branch, error) {
	all, err := Entries(ctx, e)
	var live []Branch
	for _, n := range all {
		if n.State == Live {
			live = append(live, n.Branch)
		}
	}
	return live, err
}

// Entries finds every name that was ever entered, sorted.
func Entries(ctx context.Context, e env.Env) ([]Entry, error) {
	var all []Entry
	o := env.ListOpts{Prefix: prefix, Delimiter: "/"}
	for {
		page, err := e.Objects().List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("list branches: %w", err)
		}
		found, err := findAll(ctx, e, page.Prefixes)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		if page.Next == "" {
			return all, nil
		}
		o.Token = page.Next
	}
}

// findLanes is how many names are looked up at once: each is a request to the
// object store, which may be far away.
const findLanes = 16

// findAll finds the entries of the names below prefixes, in their order.
func findAll(ctx context.Context, e env.Env, prefixes []string) ([]Entry, error) {
	found, errs := make([]Entry, len(prefixes)), make([]error, len(prefixes))
	var next atomic.Int64
	var lanes sync.WaitGroup
	for range min(findLanes, len(prefixes)) {
		lanes.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(prefixes)); i = next.Add(1) - 1 {
				found[i], errs[i] = Find(ctx, e, strings.TrimSuffix(strings.TrimPrefix(prefixes[i], prefix), "/"))
			}
		})
	}
	lanes.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
