package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"xenon/compute"
	"xenon/core"
	"xenon/core/pageserver/reference"
	"xenon/core/redo"
	"xenon/fuzz/standin"
	"xenon/serializability"
)

// drawOperations makes what one transaction does: it reads and appends to a few
// lists, or reads them only.
func drawOperations(dice *rand.Rand, hot bool) []standin.Operation {
	ops := make([]standin.Operation, 1+dice.IntN(4))
	looks := dice.IntN(3) == 0
	for i := range ops {
		ops[i].List = dice.IntN(standin.Lists)
		if hot {
			ops[i].List %= 2
		}
		if !looks && dice.IntN(2) == 0 {
			ops[i].Value = 1 // it gets its own when it is done
		}
	}
	return ops
}

// allLists reads every list.
func allLists() []standin.Operation {
	ops := make([]standin.Operation, standin.Lists)
	for i := range ops {
		ops[i].List = i
	}
	return ops
}

// transact is one transaction of one client.
func (cl *clients) transact(ctx context.Context, s *standin.Server, term core.Term, id int, ops []standin.Operation, abort bool) error {
	for i := range ops {
		if ops[i].Value != 0 {
			cl.c.listed++
			ops[i].Value = cl.c.listed
		}
	}
	call := cl.lists.Begin(id, cl.now())
	wrote, done := false, cl.waits(id, s)
	// The client hears of each operation: it may be killed before the end.
	lsn, err := s.Transact(ctx, ops, abort, func(o standin.Operation, l standin.List) {
		key := listKey(o.List, l.Round)
		if o.Value == 0 {
			cl.lists.Read(call, key, listValues(l))
			return
		}
		cl.lists.Append(call, key, serializability.Value(o.Value))
		wrote = true
	})
	done()
	// What a superseded server answers is promised to nobody, unless reads are.
	stale := cl.line.newest > term && !wrote && cl.c.load.Reads != compute.Linearizable
	switch {
	case errors.Is(err, standin.ErrAborted):
		cl.lists.Abort(call, cl.now())
		return nil
	case err != nil && wrote:
		cl.lists.Unknown(call)
		return err
	case err != nil || stale:
		cl.lists.Abort(call, cl.now())
		return err
	}
	cl.lists.Commit(call, cl.now())
	if wrote {
		cl.line.acknowledged(term, lsn)
	}
	return nil
}

// listKey names a list: those that follow each other in one place are several.
func listKey(n, round int) string { return fmt.Sprintf("%d.%d", n, round) }

func listValues(l standin.List) []serializability.Value {
	values := make([]serializability.Value, len(l.Values))
	for i, v := range l.Values {
		values[i] = serializability.Value(v)
	}
	return values
}

// inheritLists begins the history with the lists that a branch begins with.
func (cl *clients) inheritLists(from *reference.State, clog *redo.Page) {
	id := cl.next
	cl.next++
	for n := range standin.Lists {
		page, _ := from.Page(forks[0], uint32(standin.Keys+n))
		l, err := standin.ListOf(&page, clog)
		core.Must(err == nil, "list %d: %v", n, err)
		call := cl.lists.Begin(id, cl.now())
		for _, v := range listValues(l) {
			cl.lists.Append(call, listKey(n, l.Round), v)
		}
		cl.lists.Commit(call, cl.now())
	}
}

// isolated judges what clients saw of lists.
func (l *line) isolated() error {
	if err := l.clients.lists.Check(serializability.StrictSerializable); err != nil {
		return &Violation{Isolated, fmt.Errorf("branch %s: %w", l.name, err)}
	}
	return nil
}
