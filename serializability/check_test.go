package serializability_test

import (
	"errors"
	"testing"

	"xenon/core/env"
	"xenon/serializability"
)

// say is one transaction of a table: what it did, and when. Without times they
// all overlap; to -1 is an unknown outcome, aborted one that was aborted.
type say struct {
	ops      []any // add or saw
	from, to env.Instant
	aborted  bool
}

type add struct {
	key   string
	value serializability.Value
}

type saw struct {
	key  string
	list []serializability.Value
}

func l(v ...serializability.Value) []serializability.Value { return v }

func record(says []say) *serializability.History {
	h := new(serializability.History)
	for client, s := range says {
		if s.from == 0 && s.to == 0 {
			s.to = 1000
		}
		t := h.Begin(client, s.from)
		for _, o := range s.ops {
			switch o := o.(type) {
			case add:
				h.Append(t, o.key, o.value)
			case saw:
				h.Read(t, o.key, o.list)
			}
		}
		switch {
		case s.aborted:
			h.Abort(t, s.to)
		case s.to < 0:
			h.Unknown(t)
		default:
			h.Commit(t, s.to)
		}
	}
	return h
}

func do(ops ...any) say { return say{ops: ops} }

func at(from, to env.Instant, ops ...any) say { return say{ops: ops, from: from, to: to} }

// The anomalies that the literature knows, as histories of lists, each with its
// name and the highest level that allows it: Adya's thesis, Fekete, O'Neil and
// O'Neil on the read-only anomaly, Cerone and others on long forks, Kingsbury
// and Alvaro's Elle. None is ok at all levels.
func TestAnomalies(t *testing.T) {
	const none, everywhere = serializability.Level(255), serializability.StrictSerializable
	tests := []struct {
		name    string
		says    []say
		want    serializability.Anomaly
		allowed serializability.Level // the highest that allows it
	}{
		{"nothing", nil, "", everywhere},
		{"one after the other", []say{do(add{"x", 1}), do(saw{"x", l(1)}, add{"x", 2}), do(saw{"x", l(1, 2)})}, "", everywhere},
		{"it reads what it appended", []say{do(add{"x", 1}), do(saw{"x", l(1)}, add{"x", 2}, saw{"x", l(1, 2)})}, "", everywhere},
		{"nobody saw an unknown one", []say{at(1, 2, add{"x", 1}), at(3, -1, add{"x", 2}), at(5, 6, saw{"x", l(1)})}, "", everywhere},
		{"somebody saw an unknown one, late", []say{at(1, -1, add{"x", 1}), at(3, 4, saw{"x", nil}), at(5, 6, saw{"x", l(1)})}, "", everywhere},

		{"a value out of nowhere", []say{do(saw{"x", l(9)})}, serializability.Garbage, none},
		{"an append done twice", []say{do(add{"x", 1}), do(saw{"x", l(1, 1)})}, serializability.Duplicate, none},
		{"an append lost behind a reader", []say{do(add{"x", 1}), do(add{"x", 2}), do(saw{"x", l(1)}), do(saw{"x", l(2)})}, serializability.Incompatible, none},
		{"dirty write: two mixed", []say{do(add{"x", 1}, add{"y", 1}), do(add{"x", 2}, add{"y", 2}), do(saw{"x", l(1, 2)}), do(saw{"y", l(2, 1)})}, serializability.G0, none},
		{"aborted read", []say{{ops: []any{add{"x", 1}}, to: 9, aborted: true}, do(saw{"x", l(1)})}, serializability.G1a, serializability.ReadUncommitted},
		{"intermediate read", []say{do(add{"x", 1}, add{"x", 2}), do(saw{"x", l(1)}), do(saw{"x", l(1, 2)})}, serializability.G1b, serializability.ReadUncommitted},
		{"circular information", []say{do(add{"x", 1}, saw{"y", l(1)}), do(add{"y", 1}, saw{"x", l(1)})}, serializability.G1c, serializability.ReadUncommitted},
		{"it does not read what it appended", []say{do(add{"x", 1}, saw{"x", nil}), do(saw{"x", l(1)})}, serializability.Internal, serializability.ReadCommitted},
		{"non-repeatable read", []say{do(add{"x", 1}), do(saw{"x", nil}, saw{"x", l(1)})}, serializability.Internal, serializability.ReadCommitted},
		{"read skew", []say{do(add{"x", 1}, add{"y", 1}), do(saw{"x", l(1)}, saw{"y", nil}), do(saw{"y", l(1)})}, serializability.GSingle, serializability.ReadCommitted},
		{"fractured read of an unknown one", []say{{ops: []any{add{"x", 1}, add{"y", 1}}, to: -1}, do(saw{"x", l(1)}, saw{"y", nil})}, serializability.GSingle, serializability.ReadCommitted},
		{"lost update", []say{do(saw{"x", nil}, add{"x", 1}), do(saw{"x", nil}, add{"x", 2}), do(saw{"x", l(1, 2)})}, serializability.GSingle, serializability.ReadCommitted},
		{"long fork", []say{do(add{"x", 1}), do(add{"y", 1}), do(saw{"x", l(1)}, saw{"y", nil}), do(saw{"x", nil}, saw{"y", l(1)})}, serializability.GNonadjacent, serializability.ReadCommitted},
		{"write skew", []say{do(saw{"x", nil}, saw{"y", nil}, add{"x", 1}), do(saw{"x", nil}, saw{"y", nil}, add{"y", 1}), do(saw{"x", l(1)}, saw{"y", l(1)})}, serializability.G2, serializability.SnapshotIsolation},
		{"read-only anomaly", []say{
			do(saw{"x", nil}, saw{"y", nil}, add{"x", 1}),
			do(saw{"y", nil}, add{"y", 1}),
			do(saw{"x", nil}, saw{"y", l(1)}),
			do(saw{"x", l(1)}),
		}, serializability.G2, serializability.SnapshotIsolation},
		{"three in a ring", []say{do(saw{"x", nil}, add{"y", 1}), do(saw{"y", nil}, add{"z", 1}), do(saw{"z", nil}, add{"x", 1}), do(saw{"x", l(1)}, saw{"y", l(1)}, saw{"z", l(1)})}, serializability.G2, serializability.SnapshotIsolation},
		{"stale read", []say{at(1, 2, add{"x", 1}), at(3, 4, saw{"x", nil}), at(5, 6, saw{"x", l(1)})}, "G-single-realtime", serializability.Serializable},
		{"an acknowledged append that nobody ever sees", []say{at(1, 2, add{"x", 1}), at(3, 4, add{"x", 2}), at(5, 6, saw{"x", l(1)})}, "G-single-realtime", serializability.Serializable},
		{"two reads that go back", []say{at(1, 9, add{"x", 1}), at(2, 3, saw{"x", l(1)}), at(4, 5, saw{"x", nil})}, "G-single-realtime", serializability.Serializable},
		{"a read of what comes later", []say{at(1, 2, saw{"x", l(1)}), at(3, 4, add{"x", 1})}, "G1c-realtime", serializability.Serializable},
		{"appends in the order of nobody's clock", []say{at(1, 2, add{"x", 1}), at(3, 4, add{"x", 2}), at(5, 6, saw{"x", l(2, 1)})}, "G0-realtime", serializability.Serializable},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			for level := serializability.ReadUncommitted; level <= serializability.StrictSerializable; level++ {
				err := record(c.says).Check(level)
				var v *serializability.Violation
				switch ok := c.allowed != none && level <= c.allowed; {
				case ok && err != nil:
					t.Errorf("%s: %v", level, err)
				case !ok && !errors.As(err, &v):
					t.Errorf("%s does not forbid it", level)
				case !ok && v.Anomaly != c.want:
					t.Errorf("%s: %s, want %s:\n%v", level, v.Anomaly, c.want, err)
				}
			}
		})
	}
}
