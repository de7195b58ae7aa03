// Package cli is the command line: which commands there are, what they take,
// what they print and how they exit. What they do lives elsewhere.
//
// Exit status is 0 if it was done, 1 if the thing asked for failed, 2 for
// wrong use. With --json the last line of standard output is an object and
// all else goes to standard error.
//
// Start at [Main].
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/alecthomas/kong"

	"xenon/cmd/xenon/internal/home"
)

// Globals are what every command takes.
type Globals struct {
	DirFlag string `name:"dir" placeholder:"DIR" help:"Directory of the installation (default: $XENON_DIR, else ./.xenon found upwards, else ~/.xenon)."`
	JSON    bool   `name:"json" help:"Print the result as one JSON object on the last line."`

	Stdout io.Writer `kong:"-"`
	Stderr io.Writer `kong:"-"`
}

// Dir is the directory that the command means.
func (g *Globals) Dir() (string, error) { return home.Find(g.DirFlag) }

// Say prints progress for people: where results are JSON, it keeps out of
// their way.
func (g *Globals) Say(format string, args ...any) {
	w := g.Stdout
	if g.JSON {
		w = g.Stderr
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// Result prints v as the object that --json promises, or text without it.
func (g *Globals) Result(v any, text string) error {
	if !g.JSON {
		_, err := io.WriteString(g.Stdout, text)
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.Stdout, "%s\n", b)
	return err
}

// A UsageError is a command that was used wrongly: exit status 2.
type UsageError struct{ Text string }

func (e UsageError) Error() string { return e.Text }

// Usage makes a UsageError.
func Usage(format string, args ...any) error { return UsageError{fmt.Sprintf(format, args...)} }

// An ExitError ends the program with a status and says nothing more: what
// there was to say is said.
type ExitError struct{ Status int }

func (e ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// exited is how kong's own exit (after --help) leaves the parser.
type exited int

// Main runs a command line and returns the exit status.
func Main(args []string, stdout, stderr io.Writer) (status int) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exited:
			status = int(p)
		default:
			panic(p)
		}
	}()
	var c commands
	c.Stdout, c.Stderr = stdout, stderr
	args, wanted := asHelp(args)
	helpOut := stdout
	if !wanted {
		helpOut = stderr
	}
	parser, err := kong.New(&c,
		kong.Name("xenon"),
		kong.Description("Serverless storage for stock PostgreSQL: WAL on a quorum of safekeepers, pages of every moment from a pageserver."),
		kong.Writers(helpOut, stderr),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) {
			if !wanted {
				code = 2
			}
			panic(exited(code))
		}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "xenon:", err)
		return 1
	}
	k, err := parser.Parse(joinMoments(args))
	if err != nil {
		fmt.Fprintln(stderr, "xenon:", err)
		return 2
	}
	return report(k.Run(&c.Globals), stderr)
}

// asHelp makes "COMMAND --help" of "help COMMAND", and "--help" of nothing at
// all: that is wrong use, and wanted says so.
func asHelp(args []string) (asked []string, wanted bool) {
	switch {
	case len(args) == 0:
		return []string{"--help"}, false
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help"), true
	}
	return args, true
}

// joinMoments makes --at=-5m of --at -5m, which would be taken for flags.
func joinMoments(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--at" && i+1 < len(args) && negativeDuration.MatchString(args[i+1]) {
			joined = append(joined, args[i]+"="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}

var negativeDuration = regexp.MustCompile(`^-[0-9.]`)

// report prints an error and chooses the exit status.
func report(err error, stderr io.Writer) int {
	var exit ExitError
	var usage UsageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Status
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "xenon:", err)
		return 2
	}
	fmt.Fprintln(stderr, "xenon:", err)
	return 1
}
