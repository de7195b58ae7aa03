// Package lint holds the rules of the source tree; its tests hold the tree to
// them, in `go test ./...`.
//
// The rules: who may import whom ([Imports]); every package and every exported
// name says what it is for, and files stay short ([Source]); nothing that runs
// in the simulator depends on more than its seed (package simsafe). Each has a
// tree in testdata that breaks it, to show that it fires.
package lint
