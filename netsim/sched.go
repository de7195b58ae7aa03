package netsim

import "math/rand/v2"

// A Policy is how the next task is chosen among those that are ready.
type Policy struct {
	Kind PolicyKind
	// Depth is how many times priorities change within Horizon steps, for
	// ByPriority.
	Depth   int
	Horizon int
	// Starved names a process (for StarveProc) whose tasks run only when no
	// other task is ready. StarveTask draws its task by chance.
	Starved string
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
)

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
	i := s.choose()
	first, chosen := s.at(0), s.at(i)
	t := *chosen
	*chosen, *first = *first, nil
	s.head = (s.head + 1) & (len(s.queue) - 1)
	s.n--
	return t
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
