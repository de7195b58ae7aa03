// Package fuzz runs a whole installation in the simulated world, from one
// seed, under faults, and judges it.
//
// Three safekeepers, two pageservers, a bucket and the computes are the real
// ones; what runs on an endpoint is a stand-in for PostgreSQL (package standin).
// A [Plan] says what goes wrong and when, and which branches are made and
// dropped meanwhile. A judge watches every promise that is
// made, with the disks before its eyes: what it watches for is listed in
// [Oracles]. In the end everything is mended, and then all of it must come to
// life again and agree.
//
// Start at [Run].
package fuzz
