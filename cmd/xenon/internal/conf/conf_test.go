package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xenon/cmd/xenon/internal/conf"
)

type limits struct {
	Disk int64 `toml:"disk_limit"`
}

type config struct {
	Listen string            `toml:"listen"`
	ID     uint64            `toml:"id"`
	Limits limits            `toml:"limits"`
	Peers  map[string]string `toml:"peers"`
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name, file string
		settings   []string
		want       config
		err        string
	}{
		{name: "a file", file: "listen = 'a:1'\nid = 3\n[limits]\ndisk_limit = 7\n", want: config{Listen: "a:1", ID: 3, Limits: limits{7}}},
		{name: "settings win", file: "id = 3\n", settings: []string{"id=4", `listen="b:2"`, "limits.disk_limit=9"}, want: config{Listen: "b:2", ID: 4, Limits: limits{9}}},
		{name: "a bare word", settings: []string{"listen=127.0.0.1:5432"}, want: config{Listen: "127.0.0.1:5432"}},
		{name: "an inline table", settings: []string{"limits={disk_limit = 5}"}, want: config{Limits: limits{5}}},
		{name: "a misspelt key", file: "id = 1\nlissten = 'a'\n", err: "line 2: unknown key lissten: did you mean listen?"},
		{name: "a misspelt key in a table", file: "[limits]\ndisc_limit = 1\n", err: "did you mean limits.disk_limit?"},
		{name: "a misspelt key in an inline table", settings: []string{"limits={disc_limit = 1}"}, err: "did you mean limits.disk_limit?"},
		{name: "a misspelt setting", settings: []string{"lissten=a"}, err: "did you mean listen?"},
		{name: "a wrong type", file: "id = 'three'\n", err: "line 1"},
		{name: "no value", settings: []string{"listen"}, err: "want key=value"},
		{name: "no TOML", file: "id 3\n", err: "line 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := ""
			if test.file != "" {
				file = filepath.Join(t.TempDir(), "role.toml")
				if err := os.WriteFile(file, []byte(test.file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var got config
			err := conf.Load(file, test.settings, &got)
			switch {
			case test.err != "":
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want an error with %q", err, test.err)
				}
			case err != nil:
				t.Fatal(err)
			case got.Listen != test.want.Listen || got.ID != test.want.ID || got.Limits != test.want.Limits:
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestWriteIsReadBack(t *testing.T) {
	want := config{Listen: "x:1", ID: 9, Limits: limits{3}, Peers: map[string]string{"a": "b"}}
	b, err := conf.Write(want)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	var got config
	if err := conf.Load(file, nil, &got); err != nil || got.Peers["a"] != "b" || got.ID != 9 {
		t.Fatalf("%+v, %v from:\n%s", got, err, b)
	}
}
