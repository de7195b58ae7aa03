package wire

import (
	"strconv"
	"strings"

	"xenon/core"
)

// Commands of a safekeeper, as ParseCommand names them.
const (
	CmdIdentifySystem   = "IDENTIFY_SYSTEM"
	CmdStartReplication = "START_REPLICATION"
	CmdStartWALPush     = "START_WAL_PUSH"
	CmdTimelineHistory  = "TIMELINE_HISTORY"
	CmdTimelineStatus   = "TIMELINE_STATUS"
	CmdLease            = "LEASE"
	CmdPeerReports      = "PEER_REPORTS"
	CmdReadSlot         = "READ_REPLICATION_SLOT"
	CmdCreateSlot       = "CREATE_REPLICATION_SLOT"
	CmdDropSlot         = "DROP_REPLICATION_SLOT"
	CmdShow             = "SHOW"
	CmdSet              = "SET"
)

// A Command is a replication command (src/backend/replication/repl_gram.y)
// with what this project's servers need of it.
type Command struct {
	Name string // in upper case
	Slot string // the slot's name; SHOW: the setting's

	// START_REPLICATION
	Start    core.LSN
	Timeline uint32    // PostgreSQL's timeline number, 0 if not given; also TIMELINE_HISTORY
	Term     core.Term // 0 if not given: only committed WAL
	LastTerm core.Term // of the log; as Term if not given

	// START_WAL_PUSH
	ProtoVersion  int
	AllowCreation bool // allow_timeline_creation

	// LEASE, of Term in Generation
	Generation core.Generation
	Release    bool

	// PEER_REPORTS, of the safekeeper that is meant
	Node core.NodeID

	// CREATE_REPLICATION_SLOT
	Logical bool
}

// ParseCommand reads one command. A word it does not know as a command is
// returned as its Name, in upper case, for the caller to judge.
func ParseCommand(sql string) (Command, error) {
	t, err := tokenize(sql)
	if err != nil {
		return Command{}, err
	}
	p := parser{tokens: t, sql: sql}
	cmd := Command{Name: strings.ToUpper(p.next())}
	switch cmd.Name {
	case CmdStartReplication:
		err = p.startReplication(&cmd)
	case CmdStartWALPush:
		err = p.startWALPush(&cmd)
	case CmdLease:
		err = p.lease(&cmd)
	case CmdPeerReports:
		err = p.peerReports(&cmd)
	case CmdTimelineHistory:
		cmd.Timeline, err = p.number()
	case CmdShow, CmdReadSlot, CmdDropSlot:
		cmd.Slot = p.next()
	case CmdCreateSlot:
		cmd.Slot = p.next()
		p.accept("TEMPORARY")
		cmd.Logical = !p.accept("PHYSICAL")
		p.tokens = nil // options of a slot that nothing is kept for
	case CmdSet, CmdIdentifySystem, CmdTimelineStatus:
		p.tokens = nil
	default:
		return cmd, nil
	}
	if err == nil && len(p.tokens) > 0 {
		err = p.errorf("unexpected %q", p.tokens[0])
	}
	return cmd, err
}

type parser struct {
	tokens []string
	sql    string
}

func (p *parser) errorf(format string, args ...any) error {
	e := Errorf(CodeSyntax, format, args...)
	const most = 200
	sql := p.sql
	if len(sql) > most {
		sql = sql[:most] + "…"
	}
	e.Message += " in: " + sql
	return e
}

func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) accept(word string) bool {
	if len(p.tokens) > 0 && strings.EqualFold(p.tokens[0], word) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *parser) number() (uint32, error) {
	w := p.next()
	n, err := strconv.ParseUint(w, 10, 32)
	if err != nil || n == 0 {
		return 0, p.errorf("want a timeline number, found %q", w)
	}
	return uint32(n), nil
}

// lease reads LEASE generation term [RELEASE].
func (p *parser) lease(cmd *Command) error {
	g, err := strconv.ParseUint(p.next(), 10, 32)
	term, terr := strconv.ParseUint(p.next(), 10, 64)
	if err != nil || terr != nil || g == 0 || term == 0 {
		return p.errorf("want LEASE, a generation and a term")
	}
	cmd.Generation, cmd.Term, cmd.Release = core.Generation(g), core.Term(term), p.accept("RELEASE")
	return nil
}

// peerReports reads PEER_REPORTS node.
func (p *parser) peerReports(cmd *Command) error {
	id, err := strconv.ParseUint(p.next(), 10, 64)
	if err != nil || id == 0 {
		return p.errorf("want PEER_REPORTS and the id of a safekeeper")
	}
	cmd.Node = core.NodeID(id)
	return nil
}

func (p *parser) startReplication(cmd *Command) (err error) {
	if p.accept("SLOT") {
		cmd.Slot = p.next()
	}
	if p.accept("LOGICAL") {
		return Errorf(CodeUnsupported, "a safekeeper serves physical replication only")
	}
	p.accept("PHYSICAL")
	if cmd.Start, err = core.ParseLSN(p.next()); err != nil {
		return p.errorf("%v", err)
	}
	if p.accept("TIMELINE") {
		if cmd.Timeline, err = p.number(); err != nil {
			return err
		}
	}
	return p.options(func(key, value string) error {
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case key != "term" && key != "last_term":
			return p.errorf("unknown option %q", key)
		case err != nil || n == 0:
			return p.errorf("%s %q: want a number above 0", key, value)
		case key == "term":
			cmd.Term = core.Term(n)
		default:
			cmd.LastTerm = core.Term(n)
		}
		return nil
	})
}

// startWALPush reads the options with Neon's defaults; unknown ones are
// skipped as Neon does.
func (p *parser) startWALPush(cmd *Command) error {
	cmd.ProtoVersion, cmd.AllowCreation = 2, true
	return p.options(func(key, value string) (err error) {
		switch key {
		case "proto_version":
			if cmd.ProtoVersion, err = strconv.Atoi(value); err != nil {
				return p.errorf("proto_version %q: want a number", value)
			}
		case "allow_timeline_creation":
			if cmd.AllowCreation, err = strconv.ParseBool(value); err != nil {
				return p.errorf("allow_timeline_creation %q: want true or false", value)
			}
		}
		return nil
	})
}

// options reads (key 'value', key='value', …), which may be left out.
func (p *parser) options(each func(key, value string) error) error {
	if !p.accept("(") {
		return nil
	}
	for !p.accept(")") {
		key := strings.ToLower(p.next())
		p.accept("=")
		if key == "" || len(p.tokens) == 0 {
			return p.errorf("options end without )")
		}
		if err := each(key, p.next()); err != nil {
			return err
		}
		p.accept(",")
	}
	return nil
}

// tokenize cuts a command into words, quoted words without their quotes, and
// the signs ( ) , =. A semicolon ends it.
func tokenize(sql string) ([]string, error) {
	var out []string
	for i := 0; i < len(sql); {
		switch ch := sql[i]; ch {
		case ' ', '\t', '\n', '\r':
			i++
		case ';':
			if strings.TrimSpace(sql[i+1:]) != "" {
				return nil, Errorf(CodeSyntax, "only one command at a time is supported")
			}
			return out, nil
		case '(', ')', ',', '=':
			out = append(out, sql[i:i+1])
			i++
		case '\'', '"':
			end := strings.IndexByte(sql[i+1:], ch)
			if end < 0 {
				return nil, Errorf(CodeSyntax, "quote %c without its end", ch)
			}
			out = append(out, sql[i+1:i+1+end])
			i += end + 2
		default:
			end := strings.IndexAny(sql[i:], " \t\n\r;(),='\"")
			if end < 0 {
				end = len(sql) - i
			}
			out = append(out, sql[i:i+end])
			i += end
		}
	}
	return out, nil
}
