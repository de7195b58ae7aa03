package redo

import "testing"

func FuzzHash(f *testing.F)    { fuzzSeeds(f, "hash.seeds") }
func FuzzSpgist(f *testing.F)  { fuzzSeeds(f, "spgist.seeds") }
func FuzzBrin(f *testing.F)    { fuzzSeeds(f, "brin.seeds") }
func FuzzGeneric(f *testing.F) { fuzzSeeds(f, "generic.seeds") }
