// Package tutorial runs the commands of a document and holds what they print to
// what the document says that they print, word for word.
//
// A document is Markdown. In its blocks marked console a line that begins with
// "$ " is a command of bash, with the lines behind it as long as they end with a
// backslash; what follows, up to the next command or the end of the block, is
// what it prints, errors included. A word in angle brackets that is a key of
// [Wildcards] stands for what differs from machine to machine. Start at [Parse].
package tutorial

import (
	"fmt"
	"regexp"
	"strings"
)

// Wildcards are the words that stand for something else, and what that looks
// like.
var Wildcards = map[string]string{
	"<seconds>": `[0-9]+(\.[0-9]+)?`,
	"<path>":    `/[^ \n]*`,
}

// A Step is a command and what it prints.
type Step struct {
	Line    int // of the document
	Command string
	Output  string
}

// Parse finds the commands of a document.
func Parse(doc string) (steps []Step, err error) {
	in, more := false, false
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case !in:
			in = line == "```console"
		case line == "```":
			in, more = false, false
		case more:
			last := &steps[len(steps)-1]
			last.Command += "\n" + line
			more = strings.HasSuffix(line, `\`)
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, Step{Line: i + 1, Command: line[2:]})
			more = strings.HasSuffix(line, `\`)
		case len(steps) == 0:
			return nil, fmt.Errorf("line %d: output before any command", i+1)
		default:
			steps[len(steps)-1].Output += line + "\n"
		}
	}
	if in {
		return nil, fmt.Errorf("the last block does not end")
	}
	return steps, nil
}

// Compare tells how what a command printed differs from what the document says.
func (s *Step) Compare(got string) error {
	want, have := lines(s.Output), lines(got)
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(want):
			return fmt.Errorf("line %d: %s\nprinted besides: %q", s.Line, s.Command, have[i])
		case i >= len(have):
			return fmt.Errorf("line %d: %s\nnot printed: %q", s.Line, s.Command, want[i])
		case !matches(want[i], have[i]):
			return fmt.Errorf("line %d: %s\nprinted %q\nwant    %q", s.Line, s.Command, have[i], want[i])
		}
	}
	return nil
}

func lines(s string) []string {
	if s = strings.TrimRight(s, "\n"); s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

var wildcard = regexp.MustCompile(`<[a-z]+>`)

func matches(want, got string) bool {
	pattern, at := "^", 0
	for _, m := range wildcard.FindAllStringIndex(want, -1) {
		p, ok := Wildcards[want[m[0]:m[1]]]
		if !ok {
			continue
		}
		pattern += regexp.QuoteMeta(want[at:m[0]]) + p
		at = m[1]
	}
	pattern += regexp.QuoteMeta(want[at:]) + "$"
	return regexp.MustCompile(pattern).MatchString(strings.TrimRight(got, " "))
}

// Rewrite puts other output into a document, in the order of its steps.
func Rewrite(doc string, outputs []string) string {
	var b strings.Builder
	in, more, step := false, false, -1
	for line := range strings.SplitSeq(strings.TrimSuffix(doc, "\n"), "\n") {
		command := in && strings.HasPrefix(line, "$ ")
		switch {
		case !in:
			in = line == "```console"
		case line == "```":
			in, more = false, false
		case command || more:
			if command {
				step++
			}
			if more = strings.HasSuffix(line, `\`); !more {
				line += "\n" + strings.Join(lines(outputs[step]), "\n")
				line = strings.TrimSuffix(line, "\n")
			}
		default:
			continue // what it printed before
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
