//go:build faults

package safekeeper_test

import (
	"testing"

	"xenon/core/faults"
)

func TestMembershipFaultsAreCaught(t *testing.T) {
	for _, p := range []faults.Point{faults.ExcludeAnyTime, faults.PullRevives} {
		name, _ := faults.Name(p)
		t.Run(name, func(t *testing.T) {
			defer faults.Plant(p)()
			if err := comesAndGoes(t, newDisk(5)); err == nil {
				t.Error("survives")
			} else {
				t.Log(err)
			}
		})
	}
}

func TestImplicitCreationIsCaught(t *testing.T) {
	defer faults.Plant(faults.PushCreates)()
	if err := nothingForAProposer(t); err == nil {
		t.Error("M51 survives")
	} else {
		t.Log(err)
	}
}
