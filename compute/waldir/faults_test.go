//go:build faults

package waldir_test

import (
	"testing"

	"xenon/core/faults"
)

func TestFaultsAreSeen(t *testing.T) {
	defer faults.Plant(faults.DsyncForgotten)()
	if awaited, want := checkDsync(t); awaited == want {
		t.Error("nobody saw a write with O_DSYNC that does not wait")
	}
}
