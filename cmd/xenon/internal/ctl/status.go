// Package ctl is how commands reach a running installation: HTTP with JSON
// over a Unix socket in its run directory.
//
// Start at [Status] for what is said.
package ctl

import "xenon/core"

// A Status is what `xenon status --json` prints. LSNs are X/Y strings.
type Status struct {
	Dir         string       `json:"dir"`
	PID         int          `json:"pid"` // of xenon up
	Endpoints   []Endpoint   `json:"endpoints"`
	Branches    []Branch     `json:"branches"`
	Safekeepers []Safekeeper `json:"safekeepers"`
	Pageservers []Pageserver `json:"pageservers"`
	// Notes say what waits, for what, and what to do about it.
	Notes []string `json:"notes"`
}

// An Endpoint is where clients connect to a branch.
type Endpoint struct {
	Name   string `json:"name"`
	Branch string `json:"branch"`
	// State is starting, ready, stopping, stopped, superseded or failed; Note
	// says more.
	State string `json:"state"`
	Note  string `json:"note,omitempty"`
	// URL has no password: that is in DIR/pgpass.
	URL  string `json:"url"`
	Host string `json:"host"`
	Port int    `json:"port"`
	// SocketDir is the private directory of the server's socket, which trusts
	// whoever may enter it.
	SocketDir string `json:"socket_dir"`
	// ReadOnlyLSN is the moment that a read-only endpoint shows, 0 for one that
	// writes to its branch.
	ReadOnlyLSN core.LSN `json:"read_only_lsn,omitzero"`
	// PID is the sidecar's process, Warden and Postmaster those of the server
	// that runs now, 0 if none does.
	PID        int `json:"pid"`
	Warden     int `json:"warden"`
	Postmaster int `json:"postmaster"`

	Epoch     uint64    `json:"epoch"` // of the endpoint's register
	Term      core.Term `json:"term"`
	StartLSN  core.LSN  `json:"start_lsn"` // X of the server that runs now
	CommitLSN core.LSN  `json:"commit_lsn"`
	Starts    int       `json:"starts"` // servers started so far

	CrossCheck *CrossCheck `json:"cross_check,omitempty"` // nil if nothing is compared
}

// A CrossCheck is what came of comparing pages that the server wrote with what
// redo makes of its WAL, since the endpoint's process started.
type CrossCheck struct {
	Percent    float64 `json:"percent"` // of the written pages that are chosen
	Checked    uint64  `json:"checked"` // of those chosen
	Mismatched uint64  `json:"mismatched"`
	// Skipped counts those chosen and not compared, by the reason.
	Skipped map[string]uint64 `json:"skipped"`
	// Reports is the directory of the mismatches that are stored, Stored how
	// many there are, of earlier processes too. Unstored counts those beyond.
	Reports  string `json:"reports"`
	Stored   int    `json:"stored"`
	Unstored uint64 `json:"unstored,omitempty"`
}

// A Safekeeper is one node of the quorum.
type Safekeeper struct {
	ID     core.NodeID `json:"id"`
	Listen string      `json:"listen"`
	PID    int         `json:"pid"`
	// State is running, or says why not.
	State     string         `json:"state"`
	FreeBytes uint64         `json:"free_bytes"`
	Timelines []SafekeeperTL `json:"timelines"`
}

// A SafekeeperTL is one timeline on a safekeeper.
type SafekeeperTL struct {
	Tenant    core.TenantID   `json:"tenant"`
	Timeline  core.TimelineID `json:"timeline"`
	State     string          `json:"state"` // active, or why it takes no part
	Term      core.Term       `json:"term"`
	FlushLSN  core.LSN        `json:"flush_lsn"`
	CommitLSN core.LSN        `json:"commit_lsn"`
	WALBytes  uint64          `json:"wal_bytes"` // on its disk
	// BackupLSN is up to where the WAL is in the object store in whole segments,
	// LocalStart from where on it is on the disk.
	BackupLSN  core.LSN `json:"backup_lsn"`
	LocalStart core.LSN `json:"local_start_lsn"`
	Evicted    bool     `json:"evicted"`         // it has left the disk, and comes back when it is wanted
	Held       string   `json:"held,omitempty"`  // what keeps the WAL that is on the disk
	Waits      string   `json:"waits,omitempty"` // why WAL is not stored
	Syncs      uint64   `json:"syncs"`           // of WAL, since the node started
	Receive    string   `json:"receive"`         // a pg_receivewal line that follows it
}

// A Pageserver is one node that serves pages.
type Pageserver struct {
	ID        core.NodeID    `json:"id"`
	Listen    string         `json:"listen"`
	PID       int            `json:"pid"`
	State     string         `json:"state"`
	Waits     string         `json:"waits,omitempty"` // for the object store, and why
	Timelines []PageserverTL `json:"timelines"`
}

// A PageserverTL is one timeline on a pageserver.
type PageserverTL struct {
	Tenant        core.TenantID   `json:"tenant"`
	Timeline      core.TimelineID `json:"timeline"`
	State         string          `json:"state"` // active, or why ingest stopped
	LastRecordLSN core.LSN        `json:"last_record_lsn"`
	// DiskConsistentLSN is what outlives the pageserver's memory,
	// RemoteConsistentLSN what outlives its disk.
	DiskConsistentLSN   core.LSN `json:"disk_consistent_lsn"`
	RemoteConsistentLSN core.LSN `json:"remote_consistent_lsn"`
	// Generation is the number of this pageserver's ownership at the object
	// store, 0 if it has none yet.
	Generation  core.Generation `json:"generation"`
	Layers      int             `json:"layers"`          // above what the timeline began with
	LayerBytes  int64           `json:"layer_bytes"`     // of them
	MemoryBytes int64           `json:"memory_bytes"`    // that are in no layer yet
	Waits       []string        `json:"waits,omitempty"` // what waits, and why
}
