package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestExitStatus(t *testing.T) {
	tests := []struct {
		args   string
		status int
		stdout string
		stderr string
	}{
		{"version", 0, "xenon", ""},
		{"--help", 0, "version", ""},
		{"help", 0, "version", ""},
		{"help branch create", 0, "Name of the new branch", ""},
		{"help no-such-command", 2, "", "no-such-command"},
		{"", 2, "", "Usage: xenon <command>"},
		{"no-such-command", 2, "", "xenon:"},
		{"version --no-such-flag", 2, "", "no-such-flag"},
		{"branch create x --at -5m --dir /nonexistent", 1, "", "no xenon runs in /nonexistent"},
		{"branch create x --at -5 --dir /nonexistent", 2, "", "-1h30m"},
		{"branch create x --at --json", 2, "", "--at"},
		{"branch create x --at= --dir /nonexistent", 2, "", "no moment"},
		{"branch create ../x --dir /nonexistent", 2, "", "how about x?"},
		{"endpoint start main --port 99999 --dir /nonexistent", 2, "", "1 to 65535"},
		{"psql main@-30s -c true --dir /nonexistent", 1, "", "no xenon runs in /nonexistent"},
		{"psql main@5 --dir /nonexistent", 2, "", "no moment"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if got := Main(strings.Fields(test.args), &stdout, &stderr); got != test.status {
				t.Errorf("exit status %d, want %d; stderr: %s", got, test.status, stderr.String())
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
		})
	}
}

func TestJSONIsTheLastLine(t *testing.T) {
	var stdout, stderr strings.Builder
	if status := Main([]string{"version", "--json"}, &stdout, &stderr); status != 0 {
		t.Fatal(stderr.String())
	}
	var v map[string]string
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &v); err != nil || v["go"] == "" {
		t.Errorf("%v in %q", err, stdout.String())
	}
}

func TestReport(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{{nil, 0}, {errors.New("x"), 1}, {Usage("x"), 2}, {ExitError{3}, 3}}
	for _, test := range tests {
		if got := report(test.err, &strings.Builder{}); got != test.want {
			t.Errorf("%v gives exit status %d, want %d", test.err, got, test.want)
		}
	}
}
