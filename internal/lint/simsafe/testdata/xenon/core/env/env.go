// Package env stands for the seams.
package env

type Clock interface {
	Sleep() error
	Mono() int64
}

type FS interface{ Remove(string) error }

type Waiter interface {
	Wait()
	Wake()
}
