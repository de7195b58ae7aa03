package consensus

import (
	"fmt"
	"net"
	"slices"
	"strconv"

	"xenon/core"
	"xenon/core/faults"
)

// A Member is one safekeeper of a configuration and where it listens.
type Member struct {
	ID   core.NodeID `json:"id"`
	Host string      `json:"host"`
	Port uint16      `json:"pg_port"`
}

// Addr is host:port.
func (m Member) Addr() string { return net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))) }

// ParseMember is the safekeeper of a number that listens at addr, host:port.
func ParseMember(id core.NodeID, addr string) (Member, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return Member{}, fmt.Errorf("safekeeper %d: %w", id, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return Member{}, fmt.Errorf("safekeeper %d: port %q: %w", id, text, err)
	}
	return Member{ID: id, Host: host, Port: uint16(port)}, nil
}

// A Configuration names the safekeepers of a timeline. While NewMembers is not
// empty it is joint: whatever needs a majority needs one of each set.
// Generation 0 is no configuration.
type Configuration struct {
	Generation core.Generation `json:"generation"`
	Members    []Member        `json:"members"`
	NewMembers []Member        `json:"new_members,omitempty"`
}

// maxMembers is what Neon's walproposer allows (MAX_SAFEKEEPERS).
const maxMembers = 32

func (c Configuration) String() string {
	s := fmt.Sprintf("generation %d of %v", c.Generation, ids(c.Members))
	if len(c.NewMembers) > 0 {
		s += fmt.Sprintf(" turning into %v", ids(c.NewMembers))
	}
	return s
}

func ids(members []Member) []core.NodeID {
	out := make([]core.NodeID, len(members))
	for i, m := range members {
		out[i] = m.ID
	}
	return out
}

// Check reports a configuration that nobody can act on.
func (c Configuration) Check() error {
	if c.Generation == 0 || len(c.Members) == 0 {
		return fmt.Errorf("membership configuration %s: want a generation of 1 or more and members", c)
	}
	for _, set := range [][]Member{c.Members, c.NewMembers} {
		if len(set) > maxMembers {
			return fmt.Errorf("membership configuration %s: %d members, want at most %d", c, len(set), maxMembers)
		}
		for i, m := range set {
			if m.ID == 0 || slices.ContainsFunc(set[:i], func(o Member) bool { return o.ID == m.ID }) {
				return fmt.Errorf("membership configuration %s: safekeeper %d twice, or without a number", c, m.ID)
			}
		}
	}
	return nil
}

// Has tells whether id belongs to either set.
func (c Configuration) Has(id core.NodeID) bool {
	is := func(m Member) bool { return m.ID == id }
	return slices.ContainsFunc(c.Members, is) || slices.ContainsFunc(c.NewMembers, is)
}

// Same tells whether c and d name the same safekeepers at the same generation.
// Addresses may differ: a safekeeper that moved keeps its vote.
func (c Configuration) Same(d Configuration) bool {
	return c.Generation == d.Generation &&
		slices.Equal(ids(c.Members), ids(d.Members)) && slices.Equal(ids(c.NewMembers), ids(d.NewMembers))
}

// Union lists every safekeeper of both sets once, those of Members first.
func (c Configuration) Union() []Member {
	out := slices.Clone(c.Members)
	for _, m := range c.NewMembers {
		if !slices.ContainsFunc(out, func(o Member) bool { return o.ID == m.ID }) {
			out = append(out, m)
		}
	}
	return out
}

// Majority is the least number of n that any two groups of have one in common.
func Majority(n int) int { return n/2 + 1 }

// quorum tells whether yes holds for a majority of every set of c.
func (c Configuration) quorum(yes func(core.NodeID) bool) bool {
	if faults.On && faults.Hit(faults.JointElectsByOne) {
		return majorityOf(c.Members, yes)
	}
	return majorityOf(c.Members, yes) && (len(c.NewMembers) == 0 || majorityOf(c.newSet(), yes))
}

func majorityOf(set []Member, yes func(core.NodeID) bool) bool {
	n := 0
	for _, m := range set {
		if yes(m.ID) {
			n++
		}
	}
	if faults.On && faults.Hit(faults.HalfElects) {
		return n >= max(1, len(set)/2)
	}
	return n >= Majority(len(set))
}

// committed is the highest LSN that a majority of every set of c has flushed,
// given what each flushed; 0 if there is none.
func (c Configuration) committed(flushed func(core.NodeID) core.LSN) core.LSN {
	lsn := majorityFlushed(c.Members, flushed)
	if len(c.NewMembers) > 0 && !(faults.On && faults.Hit(faults.JointCommitsByOne)) {
		lsn = min(lsn, majorityFlushed(c.newSet(), flushed))
	}
	return lsn
}

func majorityFlushed(set []Member, flushed func(core.NodeID) core.LSN) core.LSN {
	var all [maxMembers]core.LSN // on the stack: one call per acknowledged append
	for i, m := range set {
		all[i] = flushed(m.ID)
	}
	slices.Sort(all[:len(set)])
	need := Majority(len(set))
	if faults.On && faults.Hit(faults.HalfCommits) {
		need = max(1, len(set)/2)
	}
	return all[len(set)-need]
}
