package standin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/faults"
	"xenon/core/redo"
)

// Lists is how many lists there are, beside the keys. List n is block Keys+n of
// [Table]; none is there in the beginning.
const Lists = 4

// maxList is how long a list gets: the append behind that begins the next one in
// its place.
const maxList = 20

// A List is what is under one of the [Lists]: how many there were before it in
// its place, and its values in the order in which they were appended.
type List struct {
	Round  int
	Values []uint64
}

// An Operation reads a list, or appends a value to it.
type Operation struct {
	List  int
	Value uint64 // 0 reads
}

// Transact does operations as one transaction, strictly serializable, and
// returns the end of its commit record, 0 if it changed nothing, once a quorum
// has it. told hears of each operation when it is done, with the list that it
// found or made; what an append made holds once the transaction is committed. told
// must not block. Rows are locked in order, so there are no deadlocks. After any
// other error than [ErrAborted] the outcome is not known.
func (s *Server) Transact(ctx context.Context, ops []Operation, abort bool, told func(Operation, List)) (core.LSN, error) {
	if !slices.ContainsFunc(ops, func(o Operation) bool { return o.Value != 0 }) {
		err := s.lookAt(ctx, ops, told)
		if err == nil {
			err = s.leash.answer(ctx)
		}
		return 0, err
	}
	unlock, err := s.lockLists(ctx, ops)
	defer unlock()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	ctx = s.tasks.Context() // from here on the transaction is the server's
	xid, changed, lsn, err := s.modify(ctx, ops, !abort, told)
	if err == nil && abort {
		err = ErrAborted
	}
	if err == nil {
		err = s.log.flush(ctx, lsn)
	}
	if err == nil {
		err = s.settle(ctx, xid, changed, lsn)
	}
	if err != nil && !errors.Is(err, ErrAborted) {
		s.panicked(err)
	}
	return lsn, err
}

// lookAt reads lists as of one moment.
func (s *Server) lookAt(ctx context.Context, ops []Operation, told func(Operation, List)) error {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return err
	}
	defer s.log.mu.Unlock()
	for i := range ops {
		l, err := s.list(s.tasks.Context(), ops[i].List)
		if err != nil {
			s.panicked(err)
			return err
		}
		told(ops[i], l)
		if faults.On && faults.Hit(faults.ReadsApart) {
			s.log.mu.Unlock()
			err := s.env.Clock().Sleep(ctx, 5*time.Millisecond)
			s.log.mu.Lock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// lockLists locks the rows that a transaction is about, in order.
func (s *Server) lockLists(ctx context.Context, ops []Operation) (unlock func(), err error) {
	held := make([]bool, Lists)
	unlock = func() {
		for n := range held {
			if held[n] {
				s.rows[Keys+n].Unlock()
			}
		}
	}
	for n := range held {
		if !slices.ContainsFunc(ops, func(o Operation) bool {
			return o.List == n && !(faults.On && faults.Hit(faults.ReadsUnlocked) && o.Value == 0)
		}) {
			continue
		}
		if err := s.rows[Keys+n].LockCtx(ctx); err != nil {
			return unlock, err
		}
		held[n] = true
	}
	return unlock, nil
}

// modify does the operations and makes the WAL of their transaction.
func (s *Server) modify(ctx context.Context, ops []Operation, commit bool, told func(Operation, List)) (xid uint32, changed []block, lsn core.LSN, err error) {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return 0, nil, 0, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	defer s.log.mu.Unlock()
	var lists [Lists]*List
	for i := range ops {
		o := &ops[i]
		if lists[o.List] == nil {
			l, err := s.list(ctx, o.List)
			if err != nil {
				return 0, nil, 0, err
			}
			lists[o.List] = &l
		}
		l := lists[o.List]
		if o.Value != 0 {
			l.add(o.Value)
			changed = append(changed, listBlock(o.List))
		}
		told(*o, List{l.Round, slices.Clone(l.Values)})
	}
	xid = uint32(s.counters.NextXID)
	for n, l := range lists {
		if b := listBlock(n); slices.Contains(changed, b) {
			if err := s.insert(ctx, b, xid, []byte(l.String())); err != nil {
				return 0, nil, 0, err
			}
		}
	}
	last := end(xid, s.micros(), commit)
	if err := s.change(ctx, last); err != nil {
		return 0, nil, 0, err
	}
	if commit {
		s.running[xid] = true
	}
	return xid, changed, last.End, nil
}

// insert writes a version of a row. The caller holds log.mu.
func (s *Server) insert(ctx context.Context, b block, xid uint32, data []byte) error {
	page, err := s.pool.get(ctx, b)
	if err == nil && !(*heapPage)(page).fits(len(data)) {
		page, err = s.prune(ctx, b, page)
	}
	if err != nil {
		return err
	}
	return s.change(ctx, insertion(page, b, xid, data, false))
}

// settle makes a transaction visible, and now and then puts its pages out.
func (s *Server) settle(ctx context.Context, xid uint32, changed []block, lsn core.LSN) error {
	if err := s.log.mu.LockCtx(ctx); err != nil {
		return err
	}
	defer s.log.mu.Unlock()
	delete(s.running, xid)
	for _, b := range changed {
		if err := s.mayEvict(ctx, b, lsn); err != nil {
			return err
		}
	}
	return nil
}

func listBlock(n int) block { return block{rel(Table), uint32(Keys + n)} }

// list is the list that a reader sees. The caller holds log.mu.
func (s *Server) list(ctx context.Context, n int) (List, error) {
	page, err := s.pool.get(ctx, listBlock(n))
	if err != nil {
		return List{}, err
	}
	_, data, err := s.newest(ctx, page)
	if err != nil {
		return List{}, err
	}
	return parseList(string(data))
}

// ListOf is what a server that starts with these pages finds in the list whose
// page it is; clog is the first page of pg_xact.
func ListOf(page, clog *redo.Page) (List, error) {
	_, data := newest(page, clog, nil)
	return parseList(string(data))
}

// add appends a value, or begins the next list with it.
func (l *List) add(v uint64) {
	if len(l.Values) == maxList {
		*l = List{Round: l.Round + 1}
	}
	l.Values = append(l.Values, v)
}

// String is a list as its row has it: 2: 40 41.
func (l *List) String() string {
	b := strconv.AppendInt(nil, int64(l.Round), 10)
	b = append(b, ':')
	for _, v := range l.Values {
		b = strconv.AppendUint(append(b, ' '), v, 10)
	}
	return string(b)
}

// parseList inverts String; a row that is not there is an empty list.
func parseList(row string) (l List, err error) {
	if row == "" {
		return l, nil
	}
	round, values, _ := strings.Cut(row, ":")
	if l.Round, err = strconv.Atoi(round); err != nil {
		return l, fmt.Errorf("list %q: %w", row, err)
	}
	for word := range strings.FieldsSeq(values) {
		v, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return l, fmt.Errorf("list %q: %w", row, err)
		}
		l.Values = append(l.Values, v)
	}
	return l, nil
}
