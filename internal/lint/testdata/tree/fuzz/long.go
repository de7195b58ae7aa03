// Package fuzz has a file that is too long.
package fuzz

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x

// x
