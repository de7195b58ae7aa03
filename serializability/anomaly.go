package serializability

import (
	"fmt"
	"strings"
)

// A Level is what a store promises of its transactions.
type Level uint8

// The levels; each promises what those before it do, and more.
const (
	// ReadUncommitted: writes of transactions are not mixed (PL-1).
	ReadUncommitted Level = iota
	// ReadCommitted: nobody sees what was aborted, or was not the last word of
	// its transaction (PL-2).
	ReadCommitted
	// SnapshotIsolation: each transaction reads one moment, and of two that
	// overwrite each other one goes. Two that each read what the other writes may
	// both commit (write skew).
	SnapshotIsolation
	// Serializable: as if one transaction had run after the other (PL-3).
	Serializable
	// StrictSerializable: and in an order in which nothing comes before what was
	// over when it began.
	StrictSerializable
)

func (l Level) String() string {
	return [...]string{"read uncommitted", "read committed", "snapshot isolation", "serializable", "strict serializable"}[l]
}

// An Anomaly is something that a history has and should not.
type Anomaly string

// Anomalies that one answer, or two, show.
const (
	// Garbage is a value that nobody appended.
	Garbage Anomaly = "garbage"
	// Duplicate is a value that is in a list twice.
	Duplicate Anomaly = "duplicate"
	// Incompatible is two answers of one key neither of which begins with the
	// other: they have no order.
	Incompatible Anomaly = "incompatible order"
	// Internal is an answer that contradicts what the same transaction did before.
	Internal Anomaly = "internal"
	// G1a is an aborted read: a value of a transaction that was aborted.
	G1a Anomaly = "G1a"
	// G1b is an intermediate read: a list that ends with a value behind which its
	// own transaction appended another one.
	G1b Anomaly = "G1b"
)

// Anomalies that are cycles of dependencies. Those with a step of real time have
// -realtime behind their names.
const (
	// G0 is a dirty write: a cycle of ww alone.
	G0 Anomaly = "G0"
	// G1c is circular information: a cycle of ww and wr.
	G1c Anomaly = "G1c"
	// GSingle has one rw: read skew, and lost updates.
	GSingle Anomaly = "G-single"
	// GNonadjacent has several rw, no two of them in a row: long forks.
	GNonadjacent Anomaly = "G-nonadjacent"
	// G2 has several rw, two of them in a row: write skew.
	G2 Anomaly = "G2"
)

const realtime = "-realtime"

// from is the lowest level that does not allow an anomaly.
func (a Anomaly) from() Level {
	switch a {
	case Garbage, Duplicate, Incompatible, G0:
		return ReadUncommitted
	case G1a, G1b, G1c:
		return ReadCommitted
	case Internal, GSingle, GNonadjacent:
		return SnapshotIsolation
	case G2:
		return Serializable
	}
	return StrictSerializable
}

// A Violation is an anomaly that the level does not allow.
type Violation struct {
	Anomaly Anomaly
	// Txns are those that show it: of a cycle in its order, from the one with
	// the least number on.
	Txns []Txn
	// Why has a line for each of them: what was wrong, or why the next one of
	// the cycle came after it.
	Why []string
	h   *History
}

func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "transactions are not isolated: %s", v.Anomaly)
	for i, why := range v.Why {
		fmt.Fprintf(&b, "\n  %s\n    %s", v.h.String(v.Txns[i]), why)
	}
	return b.String()
}

// Check tells whether a history keeps what a level promises; the error is a
// *[Violation]. Of several anomalies it is one of the worst kind: one that the
// lowest level forbids.
func (h *History) Check(l Level) error {
	if v := h.plain(l); v != nil {
		return v
	}
	g := h.graph(l == StrictSerializable)
	if v := g.cycle(l); v != nil {
		return v
	}
	return nil
}
