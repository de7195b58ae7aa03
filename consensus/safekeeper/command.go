package safekeeper

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"xenon/core"
	"xenon/core/wire"
)

// command carries out one simple query: replication commands, and what stock
// clients ask beside them.
func (n *Node) command(ctx context.Context, s *wire.Session, sql string) error {
	cmd, err := wire.ParseCommand(sql)
	if err != nil {
		return err
	}
	switch cmd.Name {
	case wire.CmdStartWALPush:
		return n.receive(ctx, s, cmd)
	case wire.CmdStartReplication:
		return n.send(ctx, s, cmd)
	case wire.CmdIdentifySystem:
		return n.identifySystem(s)
	case wire.CmdLease:
		return n.lease(s, cmd)
	case wire.CmdPeerReports:
		return n.peerReports(s, cmd)
	case wire.CmdTimelineStatus:
		return n.timelineStatus(s)
	case wire.CmdTimelineHistory:
		return wire.Errorf(wire.CodeMissingFile, "timeline %d has no history file: all WAL here is of timeline %d", cmd.Timeline, pgTimeline)
	case wire.CmdShow:
		return n.show(s, cmd.Slot)
	case wire.CmdReadSlot:
		readSlot(s)
		return nil
	case wire.CmdCreateSlot:
		return createSlot(s, cmd)
	case wire.CmdDropSlot, wire.CmdSet:
		s.Complete(cmd.Name)
		return nil
	case "SELECT":
		return selectConfig(s, sql)
	case "":
		return wire.Errorf(wire.CodeSyntax, "empty command")
	}
	return wire.Errorf(wire.CodeSyntax, "unknown command %.60q: a safekeeper knows replication commands only", cmd.Name)
}

// timelineOf finds the timeline that a connection's options name.
func (n *Node) timelineOf(s *wire.Session) (*Timeline, error) {
	id, err := s.TTID()
	if err != nil {
		return nil, err
	}
	return n.timeline(id)
}

// recoveryName is what a proposer calls itself that fetches WAL for a laggard;
// it and other safekeepers see WAL that is not committed yet.
const recoveryName = "wal_proposer_recovery"

func (n *Node) identifySystem(s *wire.Session) error {
	t, err := n.timelineOf(s)
	if err != nil {
		return err
	}
	at := t.pos.Get()
	pos := at.Commit
	if app := s.Param("application_name"); app == recoveryName || strings.HasPrefix(app, "safekeeper") {
		pos = at.Flush
	}
	s.Columns(wire.Column{Name: "systemid", Type: wire.TypeText}, wire.Column{Name: "timeline", Type: wire.TypeInt4},
		wire.Column{Name: "xlogpos", Type: wire.TypeText}, wire.Column{Name: "dbname", Type: wire.TypeText})
	s.Row(text(strconv.FormatUint(t.control().Server.SystemID, 10)), text(strconv.Itoa(pgTimeline)), text(pos.String()), nil)
	s.Complete(wire.CmdIdentifySystem)
	return nil
}

func text(s string) []byte { return []byte(s) }

// timelineStatus tells positions; a timeline that is not here has no row.
func (n *Node) timelineStatus(s *wire.Session) error {
	id, err := s.TTID()
	if err != nil {
		return err
	}
	s.Columns(wire.Column{Name: "flush_lsn", Type: wire.TypeText}, wire.Column{Name: "commit_lsn", Type: wire.TypeText})
	if t, err := n.timeline(id); err == nil {
		at := t.pos.Get()
		s.Row(text(at.Flush.String()), text(at.Commit.String()))
	}
	s.Complete(wire.CmdTimelineStatus)
	return nil
}

func (n *Node) show(s *wire.Session, name string) error {
	value := ""
	switch strings.ToLower(name) {
	case "wal_segment_size":
		t, err := n.timelineOf(s)
		if err != nil {
			return err
		}
		value = inUnits(t.control().Server.SegmentSize)
	case "data_directory_mode":
		value = "0700"
	default:
		return wire.Errorf(wire.CodeUndefined, "unrecognized configuration parameter %.60q", name)
	}
	s.Columns(wire.Column{Name: name, Type: wire.TypeText})
	s.Row(text(value))
	s.Complete(wire.CmdShow)
	return nil
}

// inUnits is how PostgreSQL shows wal_segment_size, a power of two from 1 MB.
func inUnits(size uint32) string {
	if size >= 1<<30 {
		return fmt.Sprintf("%dGB", size>>30)
	}
	return fmt.Sprintf("%dMB", size>>20)
}

// All WAL is served, from the disk or the object store, so every slot exists,
// physical, and holds nothing back.
func readSlot(s *wire.Session) {
	s.Columns(wire.Column{Name: "slot_type", Type: wire.TypeText}, wire.Column{Name: "restart_lsn", Type: wire.TypeText},
		wire.Column{Name: "restart_tli", Type: wire.TypeInt8})
	s.Row(text("physical"), nil, nil)
	s.Complete(wire.CmdReadSlot)
}

func createSlot(s *wire.Session, cmd wire.Command) error {
	if cmd.Logical {
		return wire.Errorf(wire.CodeUnsupported, "a safekeeper has physical replication slots only")
	}
	s.Columns(wire.Column{Name: "slot_name", Type: wire.TypeText}, wire.Column{Name: "consistent_point", Type: wire.TypeText},
		wire.Column{Name: "snapshot_name", Type: wire.TypeText}, wire.Column{Name: "output_plugin", Type: wire.TypeText})
	s.Row(text(cmd.Slot), text(core.LSN(0).String()), nil, nil)
	s.Complete(wire.CmdCreateSlot)
	return nil
}

// selectConfig answers the one query that libpq's tools send by themselves
// (src/include/common/connect.h, ALWAYS_SECURE_SEARCH_PATH_SQL).
func selectConfig(s *wire.Session, sql string) error {
	if !strings.Contains(sql, "set_config('search_path'") {
		return wire.Errorf(wire.CodeSyntax, "a safekeeper knows replication commands, not SQL")
	}
	s.Columns(wire.Column{Name: "set_config", Type: wire.TypeText})
	s.Row(text(""))
	s.Complete("SELECT 1")
	return nil
}
