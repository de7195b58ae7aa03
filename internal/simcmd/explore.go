package simcmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"xenon/fuzz"
)

// A Share is which part of an exploration a process does: the Mine-th of Of,
// counted from 0.
type Share struct{ Mine, Of int }

// explore runs plans until the time is over: first those of the corpus, then
// fresh ones and such as came of others, see [fuzz.Explorer]. Failing plans
// join the corpus.
func explore(o Options, s *Summary) error {
	kept, err := readCorpus(o.Corpus)
	if err != nil {
		return err
	}
	x := fuzz.NewExplorer(o.From, o.Classes)
	known := &failures{}
	for i, k := range kept {
		if i%max(1, o.Share.Of) == o.Share.Mine && o.Mutant == "" {
			o.explored(s, known, x, k.plan, k.file)
		}
		x.Add(k.plan)
	}
	for began := time.Now(); time.Since(began) < o.Within; {
		p, _ := x.Next()
		p.Judge = o.Judge
		if r := o.explored(s, known, x, p, ""); r.Err != nil && o.Mutant != "" {
			break
		}
	}
	s.Signals, s.Novel = x.Reached()
	return nil
}

// explored runs one plan and takes in what came of it. file is where the plan
// is kept, "" if it is nowhere yet.
func (o *Options) explored(s *Summary, known *failures, x *fuzz.Explorer, p *fuzz.Plan, file string) *fuzz.Result {
	r := fuzz.Run(fuzz.Options{Plan: p, Signals: true})
	x.Learn(r)
	if r.Err == nil {
		s.add(r)
		o.done(r)
		return r
	}
	if file == "" && known.add(r) {
		r = o.minimised(r)
		var err error
		if file, err = o.keep(r); err != nil { // the failure is told all the same
			r.Err = errors.Join(r.Err, err)
		}
	}
	s.add(r)
	if last := &s.Failed[len(s.Failed)-1]; file != "" {
		last.Plan = file
		planned := *o
		planned.Plan, planned.File = r.Plan, file
		last.Replay = Replay(planned, r.Seed)
	}
	o.done(r)
	return r
}

func (o *Options) done(r *fuzz.Result) {
	if o.Done != nil {
		o.Done(r)
	}
}

// failures are those that are known: of each kind a few plans are kept.
type failures struct{ seen []*fuzz.Result }

// alike is how many plans of failures that are the same are kept in a session.
const alike = 3

// add tells whether a failure is worth keeping.
func (f *failures) add(r *fuzz.Result) bool {
	same := 0
	for _, x := range f.seen {
		if fuzz.SameFailure(x, r) {
			same++
		}
	}
	if same < alike {
		f.seen = append(f.seen, r)
	}
	return same < alike
}

// keep writes the plan of a failure into the corpus.
func (o *Options) keep(r *fuzz.Result) (file string, err error) {
	if o.Corpus == "" {
		return "", nil
	}
	if err := os.MkdirAll(o.Corpus, 0o777); err != nil {
		return "", err
	}
	var b bytes.Buffer
	line, _, _ := strings.Cut(r.Err.Error(), "\n")
	fmt.Fprintf(&b, "# %s\n", line)
	if o.Mutant != "" {
		fmt.Fprintf(&b, "# mutant %s\n", o.Mutant)
	}
	if _, err := r.Plan.WriteTo(&b); err != nil {
		return "", err
	}
	file = filepath.Join(o.Corpus, fmt.Sprintf("%s-%d.plan", slug(r.Oracle()), r.Seed))
	return file, os.WriteFile(file, b.Bytes(), 0o666)
}

var noName = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a name for a file of a text.
func slug(text string) string {
	return strings.Trim(noName.ReplaceAllString(strings.ToLower(text), "-"), "-")
}

// A keptPlan is one of a corpus.
type keptPlan struct {
	file string
	plan *fuzz.Plan
}

// readCorpus reads the plans of a directory, by name; none if it is not there.
func readCorpus(dir string) (list []keptPlan, err error) {
	if dir == "" {
		return nil, nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.plan"))
	slices.Sort(files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		p, err := fuzz.ReadPlan(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, keptPlan{name, p})
	}
	return list, err
}

// minimised is a failure made smaller, if that was asked for.
func (o *Options) minimised(r *fuzz.Result) *fuzz.Result {
	if o.Minimise <= 0 {
		return r
	}
	began := time.Now()
	b := fuzz.Budget{Runs: minimiseRuns, Left: func() bool { return time.Since(began) < o.Minimise }}
	_, small := b.Minimise(r.Plan)
	if small == nil {
		return r // it does not fail again: the world is to blame, and that is worth seeing
	}
	small.Seed = r.Seed // by which it was found
	return small
}

// minimiseRuns is more than fit into any time that somebody waits.
const minimiseRuns = 100_000
