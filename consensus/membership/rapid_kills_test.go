//go:build faults

package membership_test

import (
	"testing"

	"xenon/core/faults"
	"xenon/internal/killed"
)

// TestRapidKills: what properties alone notice.
func TestRapidKills(t *testing.T) {
	for _, test := range []struct {
		name string
		by   killed.Property
	}{
		{"M42", changeLaws}, {"M44", changeLaws}, {"M45", changeLaws}, {"M45b", changeLaws}, {"M46", changeLaws},
		{"M48", registerLaws},
	} {
		t.Run(test.name, func(t *testing.T) {
			point, ok := faults.ByName(test.name)
			if !ok {
				t.Fatalf("no fault point %s", test.name)
			}
			defer faults.Plant(point)()
			k, ok := killed.By(test.by, 20_000)
			if !ok {
				t.Fatal("survives")
			}
			t.Log(k)
		})
	}
}
