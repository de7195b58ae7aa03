package modelcheck

import (
	"errors"
	"fmt"
)

// A Rule is a rule of the protocol that a model can be told to break, to see
// that the checker notices.
type Rule uint8

// The rules.
const (
	Nothing          Rule = iota
	VoteOnce              // an acceptor votes for a term at most once
	MajorityElects        // half of the acceptors is not enough to elect
	MajorityCommits       // nor to commit
	FreshestDonor         // the donor is the most advanced voter, its last term first
	LastTermFirst         // positions are compared by last term before LSN
	OwnTermCommits        // nothing is committed before a majority is in the leader's term
	TruncateFirst         // an acceptor takes entries only after its log was cut
	CutAtDivergence       // and it is cut where it diverges, not at its end
	EffectiveHistory      // a history vouches only for what is in the log
	BothMajorities        // a joint configuration needs a majority of each set
	SyncedPosition        // a change is finished when the new members have the log
	SyncedTerm            // and the term
	OldMajorityKnows      // and a majority of the old ones knows of the change
	NewMajorityKnows      // and a majority of the new ones
	SameGeneration        // votes are given within one generation only
	NextGeneration        // a new configuration has a generation of its own
	AnswerLast            // an answer is sent once what a step owes is durable; for RunWire, as what follows
	CutFirst              // a log is cut before its new history is adopted
	SyncFirst             // appends are acknowledged once they are durable
	ruleEnd
)

var ruleNames = [ruleEnd]string{
	"", "vote-once", "majority-elects", "majority-commits", "freshest-donor", "last-term-first",
	"own-term-commits", "truncate-first", "cut-at-divergence", "effective-history", "both-majorities",
	"synced-position", "synced-term", "old-majority-knows", "new-majority-knows", "same-generation",
	"next-generation", "answer-last", "cut-first", "sync-first",
}

func (r Rule) String() string { return ruleNames[r] }

// OfMessages tells whether a rule is one of [RunWire]; the others are the
// models'.
func (r Rule) OfMessages() bool { return r >= AnswerLast }

// Rules are those that can be broken.
func Rules() (all []Rule) {
	for r := Nothing + 1; r < ruleEnd; r++ {
		all = append(all, r)
	}
	return all
}

// RuleByName finds a rule.
func RuleByName(name string) (Rule, bool) {
	for _, r := range Rules() {
		if r.String() == name {
			return r, true
		}
	}
	return Nothing, false
}

// Bounds are the size of a model. States with a term, log or generation above
// them are checked, but neither counted nor followed.
type Bounds struct {
	Proposers, Acceptors, Terms, Entries int
	Generations                          int // of configurations; 0 in the static model
}

func (b Bounds) String() string {
	s := fmt.Sprintf("%d proposers, %d acceptors, terms to %d, %d entries", b.Proposers, b.Acceptors, b.Terms, b.Entries)
	if b.Generations > 0 {
		s += fmt.Sprintf(", generations to %d", b.Generations)
	}
	return s
}

// ErrBounds reports a model of a size that cannot be.
var ErrBounds = errors.New("no model of this size")

func (b Bounds) check() error {
	for _, x := range []struct {
		what        string
		n, from, to int
	}{
		{"proposers", b.Proposers, 1, MaxProposers}, {"acceptors", b.Acceptors, 1, MaxAcceptors},
		{"terms", b.Terms, 1, MaxTerms}, {"entries", b.Entries, 0, MaxEntries}, {"generations", b.Generations, 0, 100},
	} {
		if x.n < x.from || x.n > x.to {
			return fmt.Errorf("%w: %d %s, want %d to %d", ErrBounds, x.n, x.what, x.from, x.to)
		}
	}
	return nil
}

// A Model is one of [Static] and [Reconfig].
type Model struct {
	Bounds
	// Break is a rule that the model does not keep.
	Break  Rule
	orders symmetry
	// production narrows the reconfiguration model, see [Production].
	production bool
}

// Static is the model with one fixed set of acceptors.
func Static(b Bounds) (*Model, error) {
	if b.Generations != 0 {
		return nil, fmt.Errorf("%w: the static model has no generations", ErrBounds)
	}
	return newModel(b)
}

// Reconfig is the model in which the set of acceptors changes. It begins with
// all of them but one.
func Reconfig(b Bounds) (*Model, error) {
	if b.Generations < 1 || b.Acceptors < 2 {
		return nil, fmt.Errorf("%w: a reconfiguration needs two acceptors and a generation", ErrBounds)
	}
	return newModel(b)
}

// Production is the reconfiguration model as package consensus and its driver
// take it, which production code can be held to. What differs:
//
//   - A proposer that starts asks a quorum of one configuration for its term.
//   - A set of no members is never wanted.
//   - Only members have their log cut or learn of a term by a proposer; the
//     driver of a change tells new members the term of the old ones.
//   - A leader that takes a configuration over connects to everybody anew.
//   - A change ends once all who join know of it.
//   - Who has left is told by the register's configuration once a majority of
//     the members knows that, and loses the log at once.
func Production(b Bounds) (*Model, error) {
	m, err := Reconfig(b)
	if err == nil {
		m.production = true
	}
	return m, err
}

func newModel(b Bounds) (*Model, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return &Model{Bounds: b, orders: newSymmetry(b)}, nil
}

// changes tells whether it is the reconfiguration model.
func (m *Model) changes() bool { return m.Generations > 0 }

func (m *Model) all() set { return set(1)<<m.Acceptors - 1 }

// keeps tells whether the model keeps a rule.
func (m *Model) keeps(r Rule) bool { return m.Break != r }

// initial are the states that a model begins in, one of those that differ in
// names only.
func (m *Model) initial() (s state) {
	c := conf{}
	if m.changes() {
		c = conf{gen: 1, members: m.all() >> 1}
	}
	s.store = c
	for p := range m.Proposers {
		s.p[p] = proposer{term: 1, conf: c}
	}
	for a := range m.Acceptors {
		s.a[a] = emptyAcceptor(c)
	}
	return s
}

func emptyAcceptor(c conf) acceptor { return acceptor{hist: history{0: 1}, conf: c} }

// inside tells whether a state is within the bounds.
func (m *Model) inside(s *state) bool {
	for p := range m.Proposers {
		if int(s.p[p].term) > m.Terms || int(s.p[p].log.len) > m.Entries {
			return false
		}
	}
	return int(s.store.gen) <= m.Generations
}

// An Action is what led from one state to the next: who did what. P and A are
// the numbers of a proposer and an acceptor, -1 where there is none; Detail
// tells what else was chosen.
type Action struct {
	Name   string
	P, A   int
	Detail string
}

func (a Action) String() string {
	s := a.Name
	switch {
	case a.P >= 0 && a.A >= 0:
		s += fmt.Sprintf("(p%d, a%d)", a.P+1, a.A+1)
	case a.P >= 0:
		s += fmt.Sprintf("(p%d)", a.P+1)
	case a.A >= 0:
		s += fmt.Sprintf("(a%d)", a.A+1)
	}
	if a.Detail != "" {
		s += " " + a.Detail
	}
	return s
}
