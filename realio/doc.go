// Package realio is the production world: goroutines, the wall clock, TCP and
// Unix sockets, files below one directory, and an object store in a directory.
//
// [New] makes the [Env] of one process; [DirStore] opens the object store that
// several processes of one machine share. What each seam promises stands in
// package env, and the suites of package envtest hold this package to it.
package realio
