// Package netsim stands for a world, which may do what parts may not.
package netsim

import (
	"iter"
	"math/rand/v2"
	"os" // want "import of os: reach files"
	"runtime"
	"sync"
	"syscall"
)

var next, stop = iter.Pull(func(func(int) bool) {})

var wg sync.WaitGroup

var r = rand.New(rand.NewPCG(1, 2))

func f() error {
	runtime.Gosched()
	runtime.SetFinalizer(&wg, nil) // want "runtime.SetFinalizer: it depends"
	_ = rand.IntN(5)               // want "rand.IntN: the global generator"
	_ = syscall.Getpid()           // want "syscall.Getpid: only error numbers"
	_ = os.Args
	go f() // want "go statement"
	return syscall.EIO
}
