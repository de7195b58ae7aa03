package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"xenon/cmd/xenon/internal/moment"
	"xenon/cmd/xenon/internal/waltool"
	"xenon/core"
)

type walCommand struct {
	Dump  walDump  `cmd:"" help:"Print records, one line each; with --json one object each, and last what it came to."`
	Stats walStats `cmd:"" help:"Count records and their bytes by manager, opcode or relation."`
	Grep  walGrep  `cmd:"" help:"Print the records whose line a regular expression matches, or whose data have some bytes. Exit status 1: there are none."`
}

// walSource is WAL, and which records of it.
type walSource struct {
	Path     string `arg:"" optional:"" placeholder:"PATH" help:"Directory of WAL segments, data directory, corpus, or one segment."`
	Branch   string `placeholder:"NAME" help:"Instead of a path: what is committed of this branch of a running installation, from where the branch begins."`
	Timeline uint32 `help:"PostgreSQL's timeline to follow (default: the newest there)."`

	Start  string   `placeholder:"X/Y" help:"Begin at this LSN (default: the first segment)."`
	End    string   `placeholder:"X/Y" help:"End before the first record at or after this LSN."`
	Since  string   `placeholder:"TIME" help:"Records since this time; a record's time is that of the last commit or abort before it."`
	Until  string   `placeholder:"TIME" help:"Records until this time."`
	Rel    []string `placeholder:"SPC/DB/NODE" help:"Records of this relation; DB/NODE or NODE will do."`
	Fork   string   `placeholder:"FORK" help:"Of this fork: main, fsm, vm or init."`
	Block  *uint32  `placeholder:"N" help:"Of this block."`
	Xid    []uint32 `help:"Of this transaction: what it wrote, and how it ended."`
	Rmgr   []string `placeholder:"NAME" help:"Of this resource manager, as in Heap."`
	Record []string `placeholder:"PATTERN" help:"Of this kind, as in INSERT, Heap/* or *SPLIT*."`
	Images bool     `help:"With page images only."`
}

// open opens the source and reads the flags. A branch's ends with done.
func (c *walSource) open(g *Globals, done <-chan struct{}) (s *waltool.Source, scan waltool.Scan, sel waltool.Selection, err error) {
	fail := func(err error) (*waltool.Source, waltool.Scan, waltool.Selection, error) {
		return nil, scan, sel, UsageError{err.Error()}
	}
	for _, at := range []struct {
		text string
		to   *core.LSN
	}{{c.Start, &scan.Start}, {c.End, &scan.End}} {
		if at.text != "" {
			if *at.to, err = core.ParseLSN(at.text); err != nil {
				return fail(err)
			}
		}
	}
	if sel, err = c.selection(time.Now()); err != nil {
		return fail(err)
	}
	if (c.Path == "") == (c.Branch == "") {
		return fail(errors.New("one of a path and --branch NAME is needed"))
	}
	if c.Branch != "" {
		s, err = branchWAL(g, c.Branch, done)
	} else {
		s, err = waltool.Open(c.Path, c.Timeline)
	}
	return s, scan, sel, err
}

func (c *walSource) selection(now time.Time) (sel waltool.Selection, err error) {
	sel = waltool.Selection{Block: c.Block, XIDs: c.Xid, Rmgrs: c.Rmgr, Record: c.Record, Images: c.Images}
	for _, text := range c.Rel {
		// What is left out is 0, which is any.
		rel, err := core.ParseRel(strings.Repeat("0/", max(0, 2-strings.Count(text, "/"))) + text)
		if err != nil {
			return sel, err
		}
		sel.Rels = append(sel.Rels, rel)
	}
	if c.Fork != "" {
		fork, err := core.ParseFork(c.Fork)
		if err != nil {
			return sel, err
		}
		sel.Fork = &fork
	}
	for _, at := range []struct {
		text string
		to   *time.Time
	}{{c.Since, &sel.Since}, {c.Until, &sel.Until}} {
		if at.text == "" {
			continue
		}
		m, err := moment.Parse(at.text, now)
		if err == nil && m.Time.IsZero() {
			err = fmt.Errorf("%q is no time: --start and --end take LSNs", at.text)
		}
		if err != nil {
			return sel, err
		}
		*at.to = m.Time
	}
	return sel, sel.Check()
}

// ended says on standard error why the scan ended where it did, and makes
// damage the exit status 1.
func ended(g *Globals, end waltool.End) error {
	if !g.JSON && !end.Asked {
		fmt.Fprintf(g.Stderr, "xenon: %s\n", end.Stop)
	}
	if end.Damaged {
		return ExitError{1}
	}
	return nil
}

// walPrint is how records are printed.
type walPrint struct {
	walSource
	Follow bool  `short:"f" help:"Wait for more at the end, until interrupted."`
	Limit  int64 `short:"n" help:"Stop after so many records."`
	Count  bool  `short:"c" help:"Print only how many there are."`
}

func (c *walPrint) print(g *Globals, pattern *regexp.Regexp, data []byte) (res waltool.DumpResult, err error) {
	done := make(chan struct{})
	s, scan, sel, err := c.open(g, done)
	if err != nil {
		return res, err
	}
	sel.Pattern, sel.Bytes = pattern, data
	scan.Follow, scan.Done = c.Follow, done
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		if _, ok := <-signals; ok {
			close(done)
			signal.Stop(signals) // a second one ends at once
		}
	}()
	if !isTerminal(os.Stdout) && !c.Follow {
		defer g.progress("read", &scan.Progress)()
	}
	res, err = waltool.Dump(g.Stdout, s, &waltool.DumpOptions{Scan: scan, Select: sel, JSON: g.JSON, Limit: c.Limit, Count: c.Count})
	if err != nil {
		return res, err
	}
	text := ""
	if c.Count {
		text = fmt.Sprintln(res.Selected)
	}
	if err := g.Result(res, text); err != nil {
		return res, err
	}
	return res, ended(g, res.End)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

type walDump struct{ walPrint }

// Help tells what the exit status means.
func (walDump) Help() string {
	return "Exit status 0: the log ended as logs do, in zeroes, in a segment that is reused, behind the last segment, or as asked; 1: it is damaged, has a gap, or could not be read; 2: wrong use. Why it ended is said on standard error, with --json in the last object."
}

func (c *walDump) Run(g *Globals) error {
	_, err := c.print(g, nil, nil)
	return err
}

type walGrep struct {
	Pattern string `arg:"" help:"Regular expression on the line that dump prints; with --bytes, text or \\x and hexadecimal digits."`
	walPrint
	Bytes      bool `help:"Look for the bytes of PATTERN in the data and images of records."`
	IgnoreCase bool `short:"i" help:"Match in any case."`
}

func (c *walGrep) Run(g *Globals) error {
	var pattern *regexp.Regexp
	var data []byte
	var err error
	if c.Bytes {
		data, err = parseBytes(c.Pattern)
	} else {
		text := c.Pattern
		if c.IgnoreCase {
			text = "(?i)" + text
		}
		pattern, err = regexp.Compile(text)
	}
	if err != nil {
		return UsageError{err.Error()}
	}
	res, err := c.print(g, pattern, data)
	if err == nil && res.Selected == 0 {
		return ExitError{1}
	}
	return err
}

// parseBytes reads text, or \x and hexadecimal digits as PostgreSQL writes a
// bytea.
func parseBytes(s string) ([]byte, error) {
	digits, isHex := strings.CutPrefix(s, `\x`)
	if !isHex {
		return []byte(s), nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("bytes %q: want text, or \\x and pairs of hexadecimal digits", s)
	}
	return bytes.Clone(b), nil
}

type walStats struct {
	walSource
	By string `enum:"record,rmgr,rel" default:"record" help:"What to count by: record (manager and opcode), rmgr, rel."`
}

func (c *walStats) Run(g *Globals) error {
	s, scan, sel, err := c.open(g, nil)
	if err != nil {
		return err
	}
	defer g.progress("read", &scan.Progress)()
	res, err := waltool.Stats(s, &waltool.StatsOptions{Scan: scan, Select: sel, By: waltool.By(c.By)})
	if err != nil {
		return err
	}
	if err := g.Result(res, res.Text()); err != nil {
		return err
	}
	return ended(g, res.End)
}
