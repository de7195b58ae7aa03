package host

import "testing"

// A lock file as a server of PostgreSQL 15 writes it.
const lock = "4711\n/run/xenon/x/data\n1763770000\n5432\n/run/xenon/x/sock\nlocalhost\n  1234567   1\n"

func TestTakesConnections(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       bool
	}{
		{"missing lines", "4711\n/run/xenon/x/data\n", false},
		{"no state yet", lock, false},
		{"starting", lock + "starting\n", false},
		{"half a state", lock + "read", false},
		{"a state without its end", lock + "ready   ", false},
		{"ready", lock + "ready   \n", true},
		{"hot standby", lock + "standby \n", true},
		{"stopping", lock + "stopping\n", false},
		{"ready in another line", "ready   \n" + lock, false},
	} {
		if got := takesConnections([]byte(c.file)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
