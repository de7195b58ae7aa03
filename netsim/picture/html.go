package picture

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

//go:embed assets
var assets embed.FS

// scripts are the parts of the page's program, in the order in which they run.
var scripts = []string{"model.js", "lanes.js", "chart.js", "view.js", "main.js"}

// Write makes the page: one file with everything in it. With other it shows
// both, side by side on one axis of time.
func Write(w io.Writer, p, other *Picture) error {
	runs := []*encoded{p.encode()}
	if other != nil {
		runs = append(runs, other.encode())
	}
	// Inside a script element "</" would end it: json writes < as an escape.
	data, err := json.Marshal(runs)
	if err != nil {
		return fmt.Errorf("report of %s: %w", p.Title, err)
	}
	page, err := assets.ReadFile("assets/page.html")
	if err != nil {
		return err
	}
	style, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return err
	}
	var program bytes.Buffer
	for _, name := range scripts {
		part, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return err
		}
		program.Write(part)
	}
	_, err = strings.NewReplacer("{{title}}", escape(p.Title+": "+p.Verdict), "{{style}}", string(style),
		"{{data}}", string(data), "{{program}}", program.String()).WriteString(w, string(page))
	return err
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;")

func escape(s string) string { return escapes.Replace(s) }
