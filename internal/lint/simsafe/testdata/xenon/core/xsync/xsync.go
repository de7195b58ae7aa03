// Package xsync stands for the blocking primitives.
package xsync

type Queue[T any] struct{ x T }

func (q *Queue[T]) Pop() T    { return q.x }
func (q *Queue[T]) TryPush(T) {}

// Wait is the production side.
//
//simsafe:allow the goroutine side of a waiter is a channel
func Wait(w chan struct{}) {
	<-w
}
