package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/pageserver/pagechain"
	"xenon/core/redo"
	"xenon/core/redo/describe"
	"xenon/core/redo/verify"
	"xenon/core/wal"
)

type redoPage struct {
	Corpus string        `placeholder:"DIR" help:"Replay this corpus and follow the page through it."`
	Branch string        `help:"Ask the pageserver what a page of this branch is made of."`
	Rel    string        `required:"" placeholder:"SPC/DB/NODE" help:"Relation by tablespace, database and relfilenode, as in 1663/5/16384."`
	Fork   string        `default:"main" help:"main, vm or init."`
	Block  uint32        `default:"0" help:"Block number."`
	LSN    string        `placeholder:"X/Y" help:"As of this LSN (default: the end of the corpus, or what is committed now)."`
	Fields int           `default:"8" help:"How many of the fields that a record changed are shown; 0: all."`
	Wait   time.Duration `default:"30s" help:"How long to wait for the pageserver."`
}

func (redoPage) Help() string {
	return "Each record that changed the page, what it says, which fields of the page it changed, by their PostgreSQL names; last the structure of the page."
}

// A pageHistory is what redo page --json prints.
type pageHistory struct {
	Rel       string     `json:"rel"`
	Fork      string     `json:"fork"`
	Block     uint32     `json:"block"`
	Steps     []pageStep `json:"steps"`
	Page      []byte     `json:"page"` // in base64
	Structure []string   `json:"structure"`
	Failed    string     `json:"failed,omitempty"` // why redo stopped

	rel    core.Rel
	fields int
	last   redo.Page
	seen   bool
	d      describe.Describer
}

// A pageStep is one record or image of a page's history.
type pageStep struct {
	LSN     core.LSN        `json:"lsn"`     // where a record begins, or as of which the page is
	What    string          `json:"what"`    // record, patch, image
	Outcome string          `json:"outcome"` // of a record
	Record  json.RawMessage `json:"record,omitempty"`
	Changes []pageChange    `json:"changes"`
	Error   string          `json:"error,omitempty"`

	line string
}

// A pageChange is a field that a record changed.
type pageChange struct {
	Field string `json:"field"`
	At    int    `json:"at"` // of the first byte
	From  string `json:"from"`
	To    string `json:"to"`
}

func (c redoPage) Run(g *Globals) error {
	rel, err := core.ParseRel(c.Rel)
	if err == nil {
		rel.Fork, err = core.ParseFork(c.Fork)
	}
	until := core.LSN(0)
	if err == nil && c.LSN != "" {
		until, err = core.ParseLSN(c.LSN)
	}
	if err == nil && (c.Corpus == "") == (c.Branch == "") {
		err = fmt.Errorf("one of --corpus DIR and --branch NAME is needed")
	}
	if err != nil {
		return UsageError{err.Error()}
	}
	h := &pageHistory{Rel: c.Rel, Fork: c.Fork, Block: c.Block, rel: rel, fields: c.Fields, Steps: []pageStep{}}
	if c.Corpus != "" {
		err = c.ofCorpus(g, h, until)
	} else {
		err = c.ofBranch(g, h, until)
	}
	if err != nil {
		return err
	}
	if !h.seen {
		return fmt.Errorf("nothing changed block %d of %s", c.Block, rel)
	}
	h.Page = h.last[:]
	text := structure(&h.last, wal.RmgrHeap, rel, c.Block)
	h.Structure = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return g.Result(h, h.text(text))
}

// add takes in one step. rec is nil if it is no record's; before and after are
// the page.
func (h *pageHistory) add(s pageStep, rec *wal.Record, before, after *redo.Page, err error) {
	if rec != nil {
		s.line = string(h.d.Line(rec))
		s.Record = append(json.RawMessage(nil), h.d.JSON(rec)...)
	}
	if err != nil {
		s.Error = err.Error()
	}
	id, ok := redo.ManagerOf(after, h.Block)
	if !ok || h.rel.Fork != core.MainFork {
		id = wal.RmgrXLOG
	}
	s.Changes = []pageChange{}
	for _, d := range describe.Differences(before, after, id, h.fields) {
		s.Changes = append(s.Changes, pageChange{d.Field, d.At, d.Got, d.Want})
	}
	h.Steps, h.last, h.seen = append(h.Steps, s), *after, true
}

var outcomes = map[redo.Outcome]string{redo.Redone: "redone", redo.Restored: "restored from its image",
	redo.Newer: "left alone: the page is newer", redo.Untouched: "left alone: named for its lock"}

// ofCorpus follows the page through a corpus.
func (c redoPage) ofCorpus(g *Globals, h *pageHistory, until core.LSN) error {
	watch := &verify.Watch{Rel: h.rel, Block: c.Block, Step: func(s verify.Step) {
		if until == 0 || s.Rec.End <= until {
			h.add(pageStep{LSN: s.Rec.Start, What: "record", Outcome: outcomes[s.Outcome]}, s.Rec, s.Before, s.After, s.Err)
		}
	}}
	_, err := verify.Corpus(os.DirFS(c.Corpus), verify.Options{Watch: watch,
		Progress: func(n int64, at core.LSN) { fmt.Fprintf(g.Stderr, "%d records, at %s\n", n, at) }})
	if err != nil {
		return fmt.Errorf("corpus %s: %w", c.Corpus, err)
	}
	return nil
}

// ofBranch asks a pageserver for the chain and replays it here.
func (c redoPage) ofBranch(g *Globals, h *pageHistory, until core.LSN) error {
	s, err := askStatus(g)
	if err != nil {
		return err
	}
	b, err := findBranch(s, c.Branch)
	if err != nil {
		return err
	}
	if until == 0 {
		until = max(b.CommitLSN, b.StartLSN)
	}
	client := http.Client{Timeout: c.Wait}
	id := core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}
	reply, err := client.Get("http://" + s.Pageservers[0].Listen + pagechain.Path(id, h.rel, c.Block, until))
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return err
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("pageserver: %s", strings.TrimSpace(string(body)))
	}
	chain, err := pagechain.Decode(body)
	if err != nil {
		return err
	}
	var before redo.Page
	copy(before[:], chain.Base)
	h.last, h.seen = before, len(chain.Base) > 0
	if len(chain.Base) > 0 {
		h.Steps = append(h.Steps, pageStep{LSN: redo.PageLSN(&before), What: "base", Changes: []pageChange{}})
	}
	_, err = chain.Replay(func(_ int, v *pagechain.Version, rec *wal.Record, page *redo.Page) {
		at := v.LSN
		if rec != nil {
			at = rec.Start
		}
		h.add(pageStep{LSN: at, What: string(v.Kind)}, rec, &before, page, nil)
		before = *page
	})
	if err != nil {
		h.Failed = err.Error()
	}
	return nil
}

func (h *pageHistory) text(structure string) string {
	var b strings.Builder
	for _, s := range h.Steps {
		switch {
		case s.line != "":
			fmt.Fprintf(&b, "%s\n", s.line)
		default:
			fmt.Fprintf(&b, "%s  %s\n", s.LSN, s.What)
		}
		if s.Outcome != "" && s.Outcome != outcomes[redo.Redone] {
			fmt.Fprintf(&b, "    %s\n", s.Outcome)
		}
		for _, d := range s.Changes {
			fmt.Fprintf(&b, "    %s: %s -> %s\n", d.Field, d.From, d.To)
		}
		if s.Error != "" {
			fmt.Fprintf(&b, "    redo: %s\n", s.Error)
		}
	}
	if h.Failed != "" {
		fmt.Fprintf(&b, "redo stopped: %s\n", h.Failed)
	}
	return b.String() + "\n" + structure
}
