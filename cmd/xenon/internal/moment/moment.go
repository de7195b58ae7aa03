// Package moment reads what people write for a moment of a branch: an LSN, a
// time, or how long ago.
//
// Start at [Parse] and [Split].
package moment

import (
	"fmt"
	"strings"
	"time"

	"xenon/core"
)

// A Moment is an LSN, or a time, or neither: the newest there is.
type Moment struct {
	LSN  core.LSN  `json:"lsn,omitzero"`
	Time time.Time `json:"time,omitzero"`
}

// Newest tells whether the moment is whatever is committed now.
func (m Moment) Newest() bool { return m.LSN == 0 && m.Time.IsZero() }

func (m Moment) String() string {
	switch {
	case m.LSN != 0:
		return m.LSN.String()
	case !m.Time.IsZero():
		return m.Time.Format(time.RFC3339Nano)
	}
	return "now"
}

// Parse reads an LSN as in 0/16B3748, a time as in 2026-03-01T12:00:00Z (RFC
// 3339), or a negative duration as in -5m, which is counted from now.
func Parse(s string, now time.Time) (m Moment, err error) {
	switch {
	case strings.HasPrefix(s, "-"):
		d, err := time.ParseDuration(s)
		if err != nil || d == 0 {
			return m, fmt.Errorf("%q is no time ago: want -30s, -5m or -1h30m", s)
		}
		m.Time = now.Add(d)
	case strings.Contains(s, "/"):
		if m.LSN, err = core.ParseLSN(s); err == nil && m.LSN == 0 {
			err = fmt.Errorf("LSN %s: WAL begins later", s)
		}
		return m, err
	default:
		if m.Time, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return m, fmt.Errorf("%q is no moment: want an LSN as in 0/16B3748, a time as in %s, or -5m", s, now.UTC().Format(time.RFC3339))
		}
	}
	return m, nil
}

// Split reads BRANCH, BRANCH@LSN or BRANCH@TIME. at tells whether there was an
// @.
func Split(s string, now time.Time) (branch string, m Moment, at bool, err error) {
	branch, text, at := strings.Cut(s, "@")
	if at {
		m, err = Parse(text, now)
	}
	return branch, m, at, err
}
