package fuzz

import (
	"bytes"
	"encoding/json"
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

// WriteTo writes the plan as text.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(b, '\n'))
	return int64(n), err
}

// ReadPlan reads what [Plan.WriteTo] wrote.
func ReadPlan(r io.Reader) (*Plan, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	for len(b) > 0 && b[0] == '#' {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	p := new(Plan)
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if p.Blank < 0 || p.Blank >= len(blanks) || p.Length <= 0 || p.Load.Clients < 1 || p.Load.Think < 1 || p.Load.ValueMax < 1 {
		return nil, fmt.Errorf("plan: blank, length and load must be given, and blank be below %d", len(blanks))
	}
	return p, nil
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
