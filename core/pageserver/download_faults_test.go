//go:build faults

package pageserver_test

import (
	"testing"

	"xenon/core/faults"
)

// E09 and E12 are found where they are.
func TestBadCopiesAreFound(t *testing.T) {
	for name, p := range map[string]faults.Point{"E09": faults.UnreadCopyStays, "E12": faults.BadDownloadStays} {
		undo := faults.Plant(p)
		err := damagedDownload(t)
		if undo(); err == nil {
			t.Errorf("%s is not found", name)
		}
		t.Logf("%s: %v", name, err)
	}
}
