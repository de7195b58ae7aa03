//go:build !faults

package modelcheck

import (
	"os"
	"testing"
)

// Millions of states each: ./check has the command print and compare them.
func TestLargerModelsHold(t *testing.T) {
	if os.Getenv("XENON_FULL") == "" {
		t.Skip("millions of states: only with XENON_FULL=1")
	}
	expectSize(t, static32, 2797577, 39)
	expectSize(t, reconfig22, 1276365, 37)
}

// Bugs in histories need three terms.
func TestRulesThatNeedMore(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: millions of states (-short)")
	}
	expectBroken(t, LastTermFirst, static32, 20, "CommittedNotTruncated")
	expectBroken(t, CutAtDivergence, static32, 22, "LogIsMonotonic")
	expectBroken(t, EffectiveHistory, static32, 20, "CommittedNotTruncated")
	expectBroken(t, SyncedPosition, reconfig22, 19, "LogSafety")
}
