package remote

import (
	"encoding/json"
	"errors"
	"testing"

	"xenon/core/env"
)

func FuzzMark(f *testing.F) {
	for _, seed := range []string{
		`{"xenon_format":0,"installation":"51f257de1eb0d3da","made":"2026-11-21T18:57:34Z","host":"vm","dir":"/x"}`,
		`{"xenon_format":7,"installation":"a","more":[{}]}`, `{"installation":1}`, `[]`, "null", "", "{",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMark(b)
		if err != nil {
			if !errors.Is(err, env.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Skip("a time that JSON cannot write")
		}
		if again, err := parseMark(out); err != nil || again.ID != m.ID || again.Xenon != m.Xenon || !again.Made.Equal(m.Made) {
			t.Fatalf("%+v is written as %s, which is %+v, %v", m, out, again, err)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"file:///a/b", "s3://bucket/a/b?endpoint=http://h:1&region=r", "s3://b?endpoint=http%3A%2F%2Fh%3Fx%3D1%26y", "s3://u@b:1/p#f", "s3://b//p%2F/../q", "://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseURL(text)
		if err != nil {
			return
		}
		if c.LocalPath == "" && c.BucketName == "" {
			t.Fatalf("%q names nothing", text)
		}
		again, err := ParseURL(c.String())
		if err != nil || again != c {
			t.Fatalf("%q is %+v, which is written as %s, which is %+v, %v", text, c, c, again, err)
		}
	})
}
