package bench

import "testing"

func TestMedian(t *testing.T) {
	tests := []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}}
	for _, test := range tests {
		if got := median(test.v); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.v, got, test.want)
		}
	}
}

func TestPerCommit(t *testing.T) {
	if got := perCommit([]uint64{10, 20, 5}, []uint64{110, 120}, 50); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if got := perCommit(nil, nil, 50); got != 0 {
		t.Errorf("no safekeepers: got %v", got)
	}
}

func TestPgbenchOutput(t *testing.T) {
	out := "number of transactions actually processed: 5102\nnumber of failed transactions: 0 (0.000%)\nlatency average = 1.9 ms\ntps = 510.204082 (without initial connection time)\n"
	if m := tpsLine.FindStringSubmatch(out); m == nil || m[1] != "510.204082" {
		t.Errorf("rate: %v", m)
	}
	if m := doneLine.FindStringSubmatch(out); m == nil || m[1] != "5102" {
		t.Errorf("transactions: %v", m)
	}
}
