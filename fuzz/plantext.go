package fuzz

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A plan as text is JSON, its steps and acts a line each, behind lines that
// begin with # and are for people. It outlives changes of how plans are drawn,
// which a seed does not.

// planVersion is that of the text that is written. Version 1 had no version in
// it, and no topology: there was one only.
const planVersion = 2

// WriteTo writes the plan as text.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(b, '\n'))
	return int64(n), err
}

// ReadPlan reads what [Plan.WriteTo] wrote, or a release before this one.
func ReadPlan(r io.Reader) (*Plan, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPlanText))
	if err != nil {
		return nil, err
	}
	for len(b) > 0 && b[0] == '#' {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	p := new(Plan)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return p, nil
}

// maxPlanText is longer than any plan.
const maxPlanText = 4 << 20

// check refuses a plan that cannot be run.
func (p *Plan) check() error {
	t := p.Topology
	within := func(n, most int) bool { return n >= 1 && n <= most }
	switch {
	case p.Blank < 0 || p.Blank >= len(blanks):
		return fmt.Errorf("blank %d: there are %d of them, the first one is 0", p.Blank, len(blanks))
	case p.Length <= 0 || p.Length > time.Hour:
		return fmt.Errorf("length %s: want up to an hour, as in \"8s\"", p.Length)
	case p.Load.Clients < 1 || p.Load.Think < 1 || p.Load.ValueMax < 1 || p.Load.BulkMax < 0:
		return errors.New("load: clients, think and value_max must be given")
	case !within(t.Safekeepers, most.Safekeepers) || !within(t.Pageservers, most.Pageservers) || !within(t.Computes, most.Computes):
		return fmt.Errorf("topology %+v: want at least one of each, and at most %+v", t, most)
	}
	if err := p.checkPace(); err != nil {
		return err
	}
	for _, s := range p.Steps {
		if s.At < 0 || s.Which < 0 || s.For < 0 {
			return fmt.Errorf("step %s: nothing of it may be below 0", s)
		}
	}
	for _, a := range p.Acts {
		if a.At < 0 || a.Which < 0 {
			return fmt.Errorf("act %s: nothing of it may be below 0", a)
		}
	}
	return nil
}

// plainPlan is a plan without its methods, so that the JSON of its fields can
// be had; planText makes its times readable.
type plainPlan Plan

type planText struct {
	*plainPlan
	Length span `json:"length"`
}

// MarshalJSON implements json.Marshaler.
func (p *Plan) MarshalJSON() ([]byte, error) {
	return json.Marshal(planText{(*plainPlan)(p), span(p.Length)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Plan) UnmarshalJSON(b []byte) error {
	var head struct{ Version int }
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	if head.Version < 0 || head.Version > planVersion {
		return fmt.Errorf("version %d: this program reads versions up to %d", head.Version, planVersion)
	}
	text := planText{plainPlan: (*plainPlan)(p)}
	if err := strictly(b, &text); err != nil {
		return err
	}
	p.Length = time.Duration(text.Length)
	if head.Version < 2 {
		p.Topology = usual
	}
	p.Version = planVersion
	return nil
}

type plainLoad load

type loadText struct {
	*plainLoad
	Think span `json:"think"`
	Lull  span `json:"lull,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (l load) MarshalJSON() ([]byte, error) {
	return json.Marshal(loadText{(*plainLoad)(&l), span(l.Think), span(l.Lull)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *load) UnmarshalJSON(b []byte) error {
	text := loadText{plainLoad: (*plainLoad)(l)}
	err := strictly(b, &text)
	l.Think, l.Lull = time.Duration(text.Think), time.Duration(text.Lull)
	return err
}

// strictly decodes JSON and refuses fields that v does not have.
func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// A span is a time as text; version 1 has nanoseconds.
type span time.Duration

func (s span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

func (s *span) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*s = span(n)
		return nil
	}
	var text string
	err := json.Unmarshal(b, &text)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	*s = span(d)
	return err
}

// MarshalText and UnmarshalText make steps and acts strings.
func (s Step) MarshalText() ([]byte, error) { return []byte(strings.TrimSpace(s.String())), nil }

// UnmarshalText reads "0.246s power-safekeeper #15283 for 0.275s".
func (s *Step) UnmarshalText(b []byte) error {
	w := strings.Fields(string(b))
	if len(w) != 5 || w[3] != "for" {
		return fmt.Errorf("step %q: want AT CLASS #N for TIME", b)
	}
	class := slices.IndexFunc(Classes(), func(c Class) bool { return c.String() == w[1] })
	if class < 0 {
		return fmt.Errorf("step %q: no class of faults is called %q", b, w[1])
	}
	s.Class = Class(class)
	var err error
	if s.At, s.Which, err = moment(w); err == nil {
		s.For, err = time.ParseDuration(w[4])
	}
	return err
}

// MarshalText and UnmarshalText make steps and acts strings.
func (a Act) MarshalText() ([]byte, error) { return []byte(strings.TrimSpace(a.String())), nil }

// UnmarshalText reads "1.200s fork #7".
func (a *Act) UnmarshalText(b []byte) error {
	w := strings.Fields(string(b))
	if len(w) != 3 {
		return fmt.Errorf("act %q: want AT DEED #N", b)
	}
	for a.Deed = 0; a.Deed.String() != w[1]; {
		if a.Deed++; a.Deed == deeds {
			return fmt.Errorf("act %q: no deed is called %q", b, w[1])
		}
	}
	var err error
	a.At, a.Which, err = moment(w)
	return err
}

// moment reads the first and the third word of a step or an act.
func moment(w []string) (at time.Duration, which int, err error) {
	if at, err = time.ParseDuration(w[0]); err == nil {
		which, err = strconv.Atoi(strings.TrimPrefix(w[2], "#"))
	}
	return at, which, err
}
