package safekeeper

import (
	"bytes"
	"encoding/json"
	"fmt"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
)

// The control file of a timeline is a sealed file whose body is JSON. A member
// that this program does not know is an error.
const (
	controlName  = "control"
	controlMagic = "xnskctl\n"
)

// controlBody is the body of a control file.
type controlBody struct {
	Node             core.NodeID     `json:"node"`
	Tenant           core.TenantID   `json:"tenant_id"`
	Timeline         core.TimelineID `json:"timeline_id"`
	PGVersion        uint32          `json:"pg_version"` // PG_VERSION_NUM
	SystemID         uint64          `json:"system_id"`
	SegmentSize      uint32          `json:"wal_seg_size"`
	Config           configuration   `json:"mconf"`
	Term             core.Term       `json:"term"`
	History          []termSwitch    `json:"term_history"`
	TimelineStart    core.LSN        `json:"timeline_start_lsn"`
	LocalStart       core.LSN        `json:"local_start_lsn"`
	Commit           core.LSN        `json:"commit_lsn"`
	Horizon          core.LSN        `json:"peer_horizon_lsn"`
	RemoteConsistent core.LSN        `json:"remote_consistent_lsn"`
	Backup           core.LSN        `json:"backup_lsn"`
	Partials         []partial       `json:"partial_backup,omitempty"`
	Evicted          bool            `json:"evicted,omitempty"`
	Lost             core.Term       `json:"lost_in_term,omitempty"` // the end of the log was lost
}

// configuration, member and termSwitch have the names of Neon's JSON, at rest
// and over HTTP.
type configuration struct {
	Generation core.Generation `json:"generation"`
	Members    []member        `json:"members"`
	NewMembers []member        `json:"new_members,omitempty"`
}

type member struct {
	ID   core.NodeID `json:"id"`
	Host string      `json:"host"`
	Port uint16      `json:"pg_port"`
}

type termSwitch struct {
	Term core.Term `json:"term"`
	LSN  core.LSN  `json:"lsn"`
}

func (c configuration) decode() consensus.Configuration {
	return consensus.Configuration{Generation: c.Generation, Members: decodeMembers(c.Members), NewMembers: decodeMembers(c.NewMembers)}
}

func decodeMembers(list []member) (out []consensus.Member) {
	for _, m := range list {
		out = append(out, consensus.Member(m))
	}
	return out
}

func encodeConfiguration(c consensus.Configuration) configuration {
	return configuration{c.Generation, encodeMembers(c.Members), encodeMembers(c.NewMembers)}
}

func encodeMembers(list []consensus.Member) []member {
	out := []member{}
	for _, m := range list {
		out = append(out, member(m))
	}
	return out
}

func encodeHistory(h consensus.History) []termSwitch {
	out := []termSwitch{}
	for _, s := range h {
		out = append(out, termSwitch(s))
	}
	return out
}

// encodeControl makes a body that knows of no partial segment.
func encodeControl(node core.NodeID, id core.TTID, c *consensus.Control) []byte {
	return encodeControlWith(node, id, c, kept{})
}

func encodeControlWith(node core.NodeID, id core.TTID, c *consensus.Control, k kept) []byte {
	b, err := json.Marshal(controlBody{
		Node: node, Tenant: id.Tenant, Timeline: id.Timeline,
		PGVersion: c.Server.PGVersion, SystemID: c.Server.SystemID, SegmentSize: c.Server.SegmentSize,
		Config: encodeConfiguration(c.Config), Term: c.Term, History: encodeHistory(c.History),
		TimelineStart: c.TimelineStart, LocalStart: c.LocalStart,
		Commit: c.Commit, Horizon: c.Horizon, RemoteConsistent: c.RemoteConsistent,
		Backup: c.Backup, Partials: k.partials, Evicted: k.evicted, Lost: c.Lost,
	})
	core.Must(err == nil, "control file cannot be encoded: %v", err)
	return b
}

// decodeControl reads a body and checks that it is of this node and timeline
// and can be acted on.
func decodeControl(b []byte, node core.NodeID, id core.TTID) (consensus.Control, error) {
	c, _, err := decodeControlWith(b, node, id)
	return c, err
}

func decodeControlWith(b []byte, node core.NodeID, id core.TTID) (c consensus.Control, k kept, err error) {
	var body controlBody
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return c, k, fmt.Errorf("%w: %w", env.ErrCorrupt, err)
	}
	c = consensus.Control{
		Config: body.Config.decode(),
		Server: consensus.Server{PGVersion: body.PGVersion, SystemID: body.SystemID, SegmentSize: body.SegmentSize},
		Term:   body.Term, TimelineStart: body.TimelineStart, LocalStart: body.LocalStart,
		Commit: body.Commit, Horizon: body.Horizon, RemoteConsistent: body.RemoteConsistent, Backup: body.Backup,
		Lost: body.Lost,
	}
	for _, s := range body.History {
		c.History = append(c.History, consensus.TermSwitch(s))
	}
	if found := (core.TTID{Tenant: body.Tenant, Timeline: body.Timeline}); found != id {
		return c, k, fmt.Errorf("it is of timeline %s", found)
	}
	if body.Node != node {
		return c, k, fmt.Errorf("it is of safekeeper %d, this is safekeeper %d", body.Node, node)
	}
	if c.TimelineStart == 0 || c.LocalStart < c.TimelineStart || c.Commit < c.LocalStart || c.History.LastTerm() > c.Term || c.Lost > c.Term {
		return c, k, fmt.Errorf("its positions contradict each other: %w", env.ErrCorrupt)
	}
	k = kept{body.Partials, body.Evicted}
	if err := k.check(); err != nil {
		return c, k, err
	}
	_, err = formatOf(c.Server)
	return c, k, err
}

// formatOf is the form of the WAL that a server of this kind writes.
func formatOf(s consensus.Server) (wal.Format, error) {
	v, err := wal.VersionByMajor(int(s.Major()))
	if err != nil {
		return wal.Format{}, err
	}
	f := wal.Format{Version: v, SegmentSize: s.SegmentSize, SystemID: s.SystemID, TimelineID: pgTimeline}
	return f, f.Check()
}

// pgTimeline is PostgreSQL's own timeline number in page headers and file
// names; it is 1 for all WAL of this project.
const pgTimeline = 1
