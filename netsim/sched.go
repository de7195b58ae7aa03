package netsim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A Policy is how the next task is chosen among those that are ready.
type Policy struct {
	Kind PolicyKind `json:"kind"`
	// Depth is how many times priorities change within Horizon steps, for
	// ByPriority.
	Depth   int `json:"depth,omitempty"`
	Horizon int `json:"horizon,omitempty"`
	// Starved names a process (for StarveProc) whose tasks run only when no
	// other task is ready. StarveTask draws its task by chance.
	Starved string `json:"starved,omitempty"`
	// Stay is, for Biased, how many of 1,000 choices stay with the process that
	// ran last, if one of its tasks is ready.
	Stay int `json:"stay,omitempty"`
	// Within are the choices that Kind makes, by number; all others are made in
	// order. Without any, Kind makes all of them.
	Within []Span `json:"within,omitempty"`
}

// A Span is the choices from First on, Count of them.
type Span struct {
	First uint64 `json:"first"`
	Count uint64 `json:"count"`
}

// A PolicyKind is a family of policies.
type PolicyKind uint8

const (
	// AtRandom takes any ready task.
	AtRandom PolicyKind = iota
	// InOrder takes the task that has been ready longest.
	InOrder
	// ByPriority gives each task a random priority and at a few random steps
	// puts the running one below all others: a bug that needs d such changes
	// is found with a probability that does not depend on the rest of the run
	// (Burckhardt et al., A Randomized Scheduler with Probabilistic
	// Guarantees of Finding Bugs, 2010).
	ByPriority
	// StarveTask lets one task run only when nothing else can.
	StarveTask
	// StarveProc does so with the tasks of one process.
	StarveProc
	// Biased is AtRandom, and stays with a process for some time.
	Biased
	policyKinds
)

var policyNames = [policyKinds]string{"at-random", "in-order", "by-priority", "starve-task", "starve-process", "biased"}

func (k PolicyKind) String() string { return policyNames[k] }

// PolicyKinds is how many there are.
const PolicyKinds = int(policyKinds)

// MarshalJSON makes a kind its name.
func (k PolicyKind) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// UnmarshalJSON reads a name, or a number: by those the first five kinds were
// told before they had names.
func (k *PolicyKind) UnmarshalJSON(b []byte) error {
	at := slices.IndexFunc(policyNames[:], func(name string) bool { return `"`+name+`"` == string(b) })
	if n, err := strconv.Atoi(string(b)); err == nil && n >= 0 && n <= int(StarveProc) {
		at = n
	}
	if at < 0 {
		return fmt.Errorf("no scheduling policy is called %s: want one of %s", b, strings.Join(policyNames[:], ", "))
	}
	*k = PolicyKind(at)
	return nil
}

// scheduler holds the ready tasks, in the order they became ready.
type scheduler struct {
	policy Policy
	rand   *rand.Rand
	queue  []*task // ring; its length is a power of two
	head   int
	n      int
	// For ByPriority: steps left until the next change, and the priority
	// below all given so far.
	untilChange int
	lowest      int64
	// starveOne of the tasks to come is starved.
	starveOne uint64
	picks     uint64
	last      *Proc // whose task was chosen last, for Biased
}

func (s *scheduler) init(r *rand.Rand, p Policy) {
	if p.Horizon == 0 {
		p.Horizon = 20_000
	}
	s.policy, s.rand = p, r
	s.queue = make([]*task, 64)
	s.drawChange()
	s.starveOne = 1 + r.Uint64N(64)
}

func (s *scheduler) drawChange() {
	s.untilChange = 1 + s.rand.IntN(1+2*s.policy.Horizon/max(1, s.policy.Depth))
}

// enrol gives a new task what the policy needs to know of it.
func (s *scheduler) enrol(t *task) {
	switch s.policy.Kind {
	case ByPriority:
		t.priority = s.rand.Int64N(1 << 40)
	case StarveTask:
		t.starved = t.id == s.starveOne
	case StarveProc:
		t.starved = t.env.proc.name == s.policy.Starved
	}
}

func (s *scheduler) at(i int) **task { return &s.queue[(s.head+i)&(len(s.queue)-1)] }

func (s *scheduler) push(t *task) {
	if s.n == len(s.queue) {
		bigger := make([]*task, 2*len(s.queue))
		k := copy(bigger, s.queue[s.head:])
		copy(bigger[k:], s.queue[:s.head])
		s.queue, s.head = bigger, 0
	}
	s.n++
	*s.at(s.n - 1) = t
}

// pick takes the next task, or nil if none is ready.
func (s *scheduler) pick() *task {
	if s.n == 0 {
		return nil
	}
	i := 0
	if s.picks++; len(s.policy.Within) == 0 || s.within() {
		i = s.choose()
	}
	first, chosen := s.at(0), s.at(i)
	t := *chosen
	*chosen, *first = *first, nil
	s.head = (s.head + 1) & (len(s.queue) - 1)
	s.n--
	return t
}

// within tells whether the choice is one that the policy makes.
func (s *scheduler) within() bool {
	return slices.ContainsFunc(s.policy.Within, func(x Span) bool { return s.picks-x.First < x.Count })
}

func (s *scheduler) choose() int {
	if s.n == 1 && s.policy.Kind != ByPriority {
		return 0
	}
	switch s.policy.Kind {
	case InOrder:
		return 0
	case ByPriority:
		return s.byPriority()
	case StarveTask, StarveProc:
		i := s.rand.IntN(s.n)
		for range s.n {
			if !(*s.at(i)).starved {
				break
			}
			i = (i + 1) % s.n
		}
		return i
	case Biased:
		i := s.biased()
		s.last = (*s.at(i)).env.proc
		return i
	}
	return s.rand.IntN(s.n)
}

func (s *scheduler) biased() int {
	if s.last != nil && s.rand.IntN(1000) < s.policy.Stay {
		for i := range s.n {
			if (*s.at(i)).env.proc == s.last {
				return i
			}
		}
	}
	return s.rand.IntN(s.n)
}

func (s *scheduler) byPriority() int {
	best := 0
	for i := 1; i < s.n; i++ {
		a, b := *s.at(i), *s.at(best)
		if a.priority > b.priority || a.priority == b.priority && a.id < b.id {
			best = i
		}
	}
	if s.untilChange--; s.untilChange == 0 {
		s.lowest--
		(*s.at(best)).priority = s.lowest
		s.drawChange()
		if s.n > 1 {
			return s.byPriority()
		}
	}
	return best
}
