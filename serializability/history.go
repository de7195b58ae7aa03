// Package serializability judges what clients of transactions saw.
//
// Clients append values, each used once, to lists under keys, and read whole
// lists; a transaction does any number of both under any keys. A list tells
// more than a register would: the longest answer is the order of all writes of
// its key, every shorter one says at which of them it was read. So who must have
// come before whom is no guess, and nothing has to be searched for that grows
// with the number of clients: a [History] of n operations is judged in little
// more than n steps.
//
// Clients note in a [History] what they do and what they are answered.
// [History.Check] builds the graph of dependencies, after Adya and after Elle of
// Kingsbury and Alvaro:
//
//	ww  one appended behind what the other appended
//	wr  one read what the other appended
//	rw  one read a list before the other appended to it
//	rt  one was over before the other began
//
// and looks for cycles in it. Which of them are allowed depends on the [Level];
// the error names the [Anomaly], and each step of the shortest cycle with its
// reason. A transaction whose outcome nobody learned took place if somebody saw
// what it appended, and did not if nobody did; either is right.
package serializability

import (
	"fmt"
	"math"
	"slices"

	"xenon/core/env"
)

// A Value is what is appended. No two appends of a history have the same one.
type Value uint64

// A Txn names a transaction in its history.
type Txn int

// A History is the transactions of all clients of one run. It is not safe for
// concurrent use: the simulator runs one task at a time, and others lock.
type History struct {
	txns []txn
}

type txn struct {
	client   int
	ops      []op
	from, to env.Instant
	outcome  outcome
}

type outcome uint8

const (
	open outcome = iota
	committed
	aborted
	unknown
)

// An op appends a value to the list of a key, or has read a list.
type op struct {
	key    string
	value  Value // of an append; 0 tells that it is a read
	answer []Value
}

// Begin notes that a client begins a transaction, at the latest when it sends
// the first operation of it.
func (h *History) Begin(client int, now env.Instant) Txn {
	h.txns = append(h.txns, txn{client: client, from: now, to: math.MaxInt64})
	return Txn(len(h.txns) - 1)
}

// Append notes that a transaction is about to append a value, which is not 0,
// to the list of a key.
func (h *History) Append(t Txn, key string, v Value) {
	if v == 0 {
		panic("a value is not 0")
	}
	h.do(t, op{key: key, value: v})
}

// Read notes the list that a transaction was answered for a key. The history
// keeps the slice.
func (h *History) Read(t Txn, key string, list []Value) { h.do(t, op{key: key, answer: list}) }

func (h *History) do(t Txn, o op) {
	if h.txns[t].outcome != open {
		panic(fmt.Sprintf("transaction %d goes on after its end", t))
	}
	h.txns[t].ops = append(h.txns[t].ops, o)
}

// Commit notes that the client heard that its transaction is done.
func (h *History) Commit(t Txn, now env.Instant) { h.end(t, committed, now) }

// Abort notes an answer that says for certain that nothing was done, nor will
// be. What the transaction read counts for nothing.
func (h *History) Abort(t Txn, now env.Instant) { h.end(t, aborted, now) }

// Unknown notes that the client will never learn the outcome. A transaction that
// is never ended counts as unknown, too. What one of unknown outcome read counts
// if it is found to have taken place.
func (h *History) Unknown(t Txn) { h.end(t, unknown, math.MaxInt64) }

func (h *History) end(t Txn, o outcome, now env.Instant) {
	x := &h.txns[t]
	if x.outcome != open || now < x.from {
		panic(fmt.Sprintf("transaction %d ends twice, or before it began", t))
	}
	x.outcome, x.to = o, now
}

// Len is how many transactions were noted.
func (h *History) Len() int { return len(h.txns) }

// Committed is how many were answered to be done.
func (h *History) Committed() (n int) {
	for i := range h.txns {
		if h.txns[i].outcome == committed {
			n++
		}
	}
	return n
}

// String is a transaction in one line: T4, client 2: append x 7, read y [1 3].
func (h *History) String(t Txn) string {
	x := &h.txns[t]
	s := fmt.Sprintf("T%d, client %d:", t, x.client)
	for i, o := range x.ops {
		if i > 0 {
			s += ","
		}
		if o.value != 0 {
			s += fmt.Sprintf(" append %s %d", o.key, o.value)
		} else {
			s += fmt.Sprintf(" read %s %s", o.key, shown(o.answer))
		}
	}
	return s
}

// shown is a list, in short: the end of it is what matters.
func shown(list []Value) string {
	const most = 8
	if len(list) > most {
		return fmt.Sprintf("[… %s", fmt.Sprint(slices.Clone(list[len(list)-most:]))[1:])
	}
	return fmt.Sprint(list)
}

// last is the last value that a transaction appended to a key, 0 if none.
func (x *txn) last(key string) Value {
	for _, o := range slices.Backward(x.ops) {
		if o.key == key && o.value != 0 {
			return o.value
		}
	}
	return 0
}
