// Package faults stands for the planted faults.
package faults

func Hit(int) bool { return false }
