package describe

import (
	"strconv"
	"testing"
)

// Times and numbers are written by hand, for they are in every line.
func TestTimesAndNumbers(t *testing.T) {
	var w writer
	stamped := func(sec, micros int64) string {
		w.reset(false)
		w.stamp(sec, micros)
		return string(w.b)
	}
	numbered := func(v uint64) string {
		w.reset(false)
		w.uint(v)
		return string(w.b)
	}
	for _, tt := range []struct {
		sec, micros int64
		want        string
	}{
		{0, 0, "1970-01-01T00:00:00Z"},
		{1790000000, 5, "2026-09-21T14:13:20.000005Z"},
		{1790000000, 500000, "2026-09-21T14:13:20.5Z"},
		{1790000000, 10, "2026-09-21T14:13:20.00001Z"},
		{1790000001, 123456, "2026-09-21T14:13:21.123456Z"},
		{1790000001, 120, "2026-09-21T14:13:21.00012Z"},
		{1790000001, -1, "2026-09-21T14:13:20.999999Z"},
		{-1, 1, "1969-12-31T23:59:59.000001Z"},
		{0, 0, "1970-01-01T00:00:00Z"},
	} {
		if got := stamped(tt.sec, tt.micros); got != tt.want {
			t.Errorf("%d s %d µs: %s, want %s", tt.sec, tt.micros, got, tt.want)
		}
	}
	for v := uint64(1); v < 1<<62; v = v*3 + 1 {
		for _, v := range []uint64{v - 1, v, v / 10 * 10, v / 1000 * 1000} {
			if got, want := numbered(v), strconv.FormatUint(v, 10); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
}
