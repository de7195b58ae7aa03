// Package main does not say its name.
package main

func main() {}
