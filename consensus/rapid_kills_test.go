//go:build faults

package consensus_test

import (
	"testing"

	"xenon/core/faults"
	"xenon/internal/killed"
)

// TestRapidKills: what properties alone notice, without any scripted story.
func TestRapidKills(t *testing.T) {
	for _, test := range rapidKills {
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

var rapidKills = []struct {
	name string
	by   killed.Property
}{
	{"M01", acceptorLaws}, {"M02", acceptorLaws}, {"M08", acceptorLaws}, {"M09", acceptorLaws},
	{"M13", acceptorLaws}, {"M14", acceptorLaws}, {"M16", acceptorLaws}, {"M17", acceptorLaws},
	{"M18", acceptorLaws}, {"M19", acceptorLaws}, {"M25", acceptorLaws}, {"M26", acceptorLaws},
	{"M27b", acceptorLaws}, {"M30", acceptorLaws}, {"M32", acceptorLaws}, {"M33", acceptorLaws},
	{"M47", acceptorLaws},
	{"M03", proposerLaws}, {"M04", proposerLaws}, {"M05", proposerLaws}, {"M06", proposerLaws},
	{"M11", proposerLaws}, {"M27", proposerLaws}, {"M28", proposerLaws}, {"M29", proposerLaws},
	{"M34", proposerLaws}, {"M42b", proposerLaws}, {"M43", proposerLaws}, {"M60", proposerLaws},
	{"M42", reshapeLaws}, {"M44", reshapeLaws}, {"M46", reshapeLaws},
	{"M21", acceptorLaws}, {"M22", acceptorLaws},
	{"Z01", leaseLaws}, {"Z03", leaseLaws},
	// The same by what whole worlds lose, where small worlds do.
	{"M03", worldLaws}, {"M06", worldLaws}, {"M13", worldLaws}, {"M29", worldLaws}, {"M43", reshapeLaws}, {"M47", reshapeLaws},
}
