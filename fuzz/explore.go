package fuzz

import (
	"math/rand/v2"

	"xenon/netsim"
)

// An Explorer chooses plans: every other one is fresh, drawn from a seed as
// Run would; the rest are changed a little from plans whose runs reached what
// no run before had. It is used by one goroutine.
//
// What it chooses depends on its seed and on what it was told, nothing else.
type Explorer struct {
	from   []Class
	dice   *rand.Rand
	next   uint64 // seed of the next fresh plan
	turn   int
	seen   map[uint64]bool
	corpus []lit
	novel  int // runs that reached something
}

// lit is a plan that reached something first.
type lit struct {
	plan *Plan
	new  int // signals that it was the first to give
}

// maxCorpus is how many plans an explorer keeps; the ones with least to them
// go first.
const maxCorpus = 500

// NewExplorer makes one whose fresh plans are those of seeds from seed on, with
// faults of the classes given; nil is all.
func NewExplorer(seed uint64, from []Class) *Explorer {
	if from == nil {
		from = Classes()
	}
	return &Explorer{from: from, dice: netsim.Stream(seed, "explorer"), next: seed, seen: map[uint64]bool{}}
}

// Next is the plan to run next. fresh tells that it is that of its seed.
func (x *Explorer) Next() (p *Plan, fresh bool) {
	x.turn++
	if x.turn%2 == 1 || len(x.corpus) == 0 {
		x.next++
		return drawPlan(x.next-1, x.from), true
	}
	return mutate(x.choose(), x.choose(), x.from, x.dice), false
}

// choose takes a plan of the corpus: the newest ones as often as all others.
func (x *Explorer) choose() *Plan {
	n := len(x.corpus)
	if recent := 1 + n/8; x.dice.IntN(2) == 0 {
		return x.corpus[n-1-x.dice.IntN(recent)].plan
	}
	return x.corpus[x.dice.IntN(n)].plan
}

// Learn is told what came of a plan, by a run with Signals. It returns how many
// signals no run before had.
func (x *Explorer) Learn(r *Result) (novel int) {
	for _, s := range r.Signals {
		if !x.seen[s] {
			x.seen[s] = true
			novel++
		}
	}
	if novel == 0 || r.Err != nil { // what fails is kept elsewhere
		return novel
	}
	x.novel++
	x.corpus = append(x.corpus, lit{r.Plan, novel})
	if len(x.corpus) > maxCorpus {
		x.drop()
	}
	return novel
}

// Add puts a plan of a corpus that was kept into this one.
func (x *Explorer) Add(p *Plan) { x.corpus = append(x.corpus, lit{p, 1}) }

// drop gives up the plan of the older half that gave least.
func (x *Explorer) drop() {
	least := 0
	for i := range x.corpus[:len(x.corpus)/2] {
		if x.corpus[i].new < x.corpus[least].new {
			least = i
		}
	}
	x.corpus = append(x.corpus[:least], x.corpus[least+1:]...)
}

// Reached is how many signals there were, and of how many runs the plan was
// kept.
func (x *Explorer) Reached() (signals, plans int) { return len(x.seen), x.novel }
