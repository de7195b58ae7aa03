package moment_test

import (
	"strings"
	"testing"
	"time"

	"xenon/cmd/xenon/internal/moment"
	"xenon/core"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want moment.Moment
		err  string
	}{
		{text: "0/16B3748", want: moment.Moment{LSN: 0x16B3748}},
		{text: "A/0", want: moment.Moment{LSN: 0xA_0000_0000}},
		{text: "-5m", want: moment.Moment{Time: now.Add(-5 * time.Minute)}},
		{text: "-1h30m", want: moment.Moment{Time: now.Add(-90 * time.Minute)}},
		{text: "2026-03-01T10:00:00Z", want: moment.Moment{Time: now.Add(-2 * time.Hour)}},
		{text: "2026-03-01T11:00:00.5+01:00", want: moment.Moment{Time: now.Add(-2*time.Hour + time.Second/2)}},
		{text: "", err: "no moment"},
		{text: "5m", err: "no moment"},
		{text: "yesterday", err: "2026-03-01T12:00:00Z"},
		{text: "-", err: "-5m"},
		{text: "-0s", err: "-5m"},
		{text: "--5m", err: "-5m"},
		{text: "-5", err: "-5m"},
		{text: "0/0", err: "later"},
		{text: "0/zz", err: "LSN"},
		{text: "1/2/3", err: "LSN"},
	}
	for _, test := range tests {
		got, err := moment.Parse(test.text, now)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q: %v, %v; want an error with %q", test.text, got, err, test.err)
			}
			continue
		}
		if err != nil || got.LSN != test.want.LSN || !got.Time.Equal(test.want.Time) {
			t.Errorf("%q: %v, %v; want %v", test.text, got, err, test.want)
		}
	}
}

func TestSplit(t *testing.T) {
	if b, m, at, err := moment.Split("main", now); b != "main" || !m.Newest() || at || err != nil {
		t.Errorf("main: %s %v %v %v", b, m, at, err)
	}
	if b, m, at, err := moment.Split("a.b-c@0/10", now); b != "a.b-c" || m.LSN != core.LSN(0x10) || !at || err != nil {
		t.Errorf("at an LSN: %s %v %v %v", b, m, at, err)
	}
	if b, m, at, err := moment.Split("main@-30s", now); b != "main" || !m.Time.Equal(now.Add(-30*time.Second)) || !at || err != nil {
		t.Errorf("at a time: %s %v %v %v", b, m, at, err)
	}
	if _, _, _, err := moment.Split("main@", now); err == nil {
		t.Error("nothing after the @ is no error")
	}
}

// FuzzParse checks that what is read is written so that it is read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0/16B3748", "-5m", "2026-03-01T10:00:00Z", "", "-", "/", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := moment.Parse(s, now)
		if err != nil || m.Time.Year() > 9999 || m.Time.Year() < 0 {
			return
		}
		again, err := moment.Parse(m.String(), now)
		if err != nil || again.LSN != m.LSN || !again.Time.Equal(m.Time) {
			t.Errorf("%q is %s, and that is %v, %v", s, m, again, err)
		}
	})
}
