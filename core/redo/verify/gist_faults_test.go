//go:build faults

package verify_test

import (
	"testing"

	"xenon/core/faults"
)

func TestLeftChildImageFault(t *testing.T) {
	dir := leftChildImages(t, 15)
	defer faults.Plant(faults.RedoGistImageKept)()
	if !turnsRed(t, dir) {
		t.Error("no mismatch")
	}
}
