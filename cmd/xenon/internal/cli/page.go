package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"xenon/cmd/xenon/internal/ctl"
	"xenon/core"
	"xenon/core/wire"
	"xenon/realio"
)

type pageCommand struct {
	Get pageGet `cmd:"" help:"Print one page of a relation as of an LSN: 8192 raw bytes, on a terminal a hex dump."`
}

type pageGet struct {
	Branch string        `required:"" help:"Branch to read."`
	Rel    string        `required:"" placeholder:"SPC/DB/NODE" help:"Relation by tablespace, database and relfilenode, as in 1663/5/16384."`
	Fork   string        `default:"main" help:"main, vm or init."`
	Block  uint32        `default:"0" help:"Block number."`
	LSN    string        `placeholder:"X/Y" help:"As of this LSN (default: what is committed now)."`
	Wait   time.Duration `default:"30s" help:"How long to wait for the pageserver to have the LSN."`
}

// A shownPage is a page for --json.
type shownPage struct {
	Rel   string   `json:"rel"`
	Block uint32   `json:"block"`
	LSN   core.LSN `json:"lsn"`
	Page  []byte   `json:"page"` // base64
}

func (c pageGet) Run(g *Globals) error {
	req, err := c.request()
	if err != nil {
		return UsageError{err.Error()}
	}
	s, err := askStatus(g)
	if err != nil {
		return err
	}
	b, err := findBranch(s, c.Branch)
	if err != nil {
		return err
	}
	if req.LSN == 0 {
		req.LSN = max(b.CommitLSN, b.StartLSN)
	}
	req.NotModifiedSince = req.LSN
	page, err := c.fetch(s.Pageservers[0].Listen, core.TTID{Tenant: b.Tenant, Timeline: b.Timeline}, req)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return c.tooLate(g, b, req.LSN)
	}
	if err != nil {
		return err
	}
	if g.JSON {
		return g.Result(shownPage{req.Rel.String(), req.Block, req.LSN, page}, "")
	}
	if info, err := os.Stdout.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		page = []byte(hex.Dump(page))
	}
	_, err = g.Stdout.Write(page)
	return err
}

// tooLate says how far the pageserver has come that did not answer in time.
func (c pageGet) tooLate(g *Globals, b ctl.Branch, lsn core.LSN) error {
	s, err := askStatus(g)
	if err != nil {
		return err
	}
	for _, t := range s.Pageservers[0].Timelines {
		if t.Timeline == b.Timeline {
			return fmt.Errorf("no page as of %s within %v: the pageserver has branch %s up to %s, and is %s", lsn, c.Wait, c.Branch, t.LastRecordLSN, t.State)
		}
	}
	return fmt.Errorf("no page as of %s within %v: the pageserver does not know branch %s", lsn, c.Wait, c.Branch)
}

func findBranch(s ctl.Status, name string) (ctl.Branch, error) {
	for _, b := range s.Branches {
		if b.Name == name {
			return b, nil
		}
	}
	return ctl.Branch{}, fmt.Errorf("no such branch: %s", name)
}

func (c pageGet) request() (r wire.PageRequest, err error) {
	r.Kind, r.Block = wire.PageGet, c.Block
	if r.Rel, err = core.ParseRel(c.Rel); err != nil {
		return r, err
	}
	if r.Rel.Fork, err = core.ParseFork(c.Fork); err != nil {
		return r, err
	}
	if c.LSN != "" {
		r.LSN, err = core.ParseLSN(c.LSN)
	}
	return r, err
}

// fetch asks for the relation's size first: past its end a pageserver answers
// a server with an empty page, as a file system does, but a person who asks is
// to know.
func (c pageGet) fetch(addr string, id core.TTID, req wire.PageRequest) ([]byte, error) {
	e := realio.New(realio.Options{})
	defer e.Close()
	conn, err := wire.Connect(context.Background(), e, addr, wire.ClientConfig{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.NetConn().SetDeadline(time.Now().Add(c.Wait))
	if err := conn.CopyBoth(fmt.Sprintf("pagestream_v3 %s %s", id.Tenant, id.Timeline)); err != nil {
		return nil, err
	}
	size := req
	size.Kind = wire.PageBlocks
	exists := req
	exists.Kind = wire.PageExists
	there, err := c.ask(conn, exists)
	if err != nil {
		return nil, err
	}
	if !there.Exists {
		return nil, fmt.Errorf("relation %s does not exist as of %s on branch %s", req.Rel, req.LSN, c.Branch)
	}
	blocks, err := c.ask(conn, size)
	if err != nil {
		return nil, err
	}
	if req.Block >= blocks.Blocks {
		return nil, fmt.Errorf("relation %s has %d blocks as of %s: there is no block %d", req.Rel, blocks.Blocks, req.LSN, req.Block)
	}
	reply, err := c.ask(conn, req)
	return reply.Pages, err
}

func (c pageGet) ask(conn *wire.Client, req wire.PageRequest) (wire.PageReply, error) {
	conn.CopyData(req.Append(nil), nil)
	if err := conn.Flush(); err != nil {
		return wire.PageReply{}, err
	}
	b, err := conn.ReadCopy()
	if err != nil {
		return wire.PageReply{}, fmt.Errorf("wait for the page as of %s: %w", req.LSN, err)
	}
	reply, err := wire.DecodePageReply(b)
	if err != nil {
		return reply, err
	}
	if reply.Request.Kind == wire.PageError {
		return reply, fmt.Errorf("pageserver: %s", reply.Message)
	}
	return reply, nil
}
