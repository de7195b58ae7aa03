//go:build faults

package safekeeper

import (
	"testing"

	"xenon/core/faults"
	"xenon/internal/killed"
)

// TestRapidKills: what properties alone notice.
func TestRapidKills(t *testing.T) {
	for _, name := range []string{"M20", "M23", "M31", "M35", "M35b", "M38"} {
		t.Run(name, func(t *testing.T) {
			point, ok := faults.ByName(name)
			if !ok {
				t.Fatalf("no fault point %s", name)
			}
			defer faults.Plant(point)()
			k, ok := killed.By(storageLaws, 2_000)
			if !ok {
				t.Fatal("survives")
			}
			t.Log(k)
		})
	}
}
