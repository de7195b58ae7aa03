package fuzz

import (
	"fmt"
	"time"
)

// A Judge says whose word counts in a run.
type Judge string

// The judges. Everybody is every observer there is, and the first promise that
// is broken ends the run. Clients is what somebody outside could know: nothing
// ends the run, and in the end the calls of clients must have an order that
// explains every answer. It shows what a broken promise means to those who
// never see inside.
const (
	Everybody Judge = ""
	Clients   Judge = "clients"
)

// ParseJudge reads the name of a judge.
func ParseJudge(name string) (Judge, error) {
	switch j := Judge(name); j {
	case Everybody, Clients:
		return j, nil
	}
	return "", fmt.Errorf("no judge is called %q; there is %q, and all of them together if none is named", name, Clients)
}

// afterwards is how long clients go on when everything is mended, so that they
// see what became of what was written.
const afterwards = 5 * time.Second

// clientsJudge lets clients go on, and looks at what they saw.
func (r *run) clientsJudge() error {
	if err := r.w.Run(afterwards, nil); err != nil {
		return err
	}
	for _, l := range r.standing() {
		if err := l.clients.history.Check(); err != nil {
			return &Violation{Linearizable, fmt.Errorf("branch %s: %w", l.name, err)}
		}
		if err := l.isolated(); err != nil {
			return err
		}
		r.result.Counts.Writes += l.clients.acked
		r.result.Counts.Reads += l.clients.history.Answered() - l.clients.acked
	}
	return nil
}
