package ctl

import (
	"time"

	"xenon/cmd/xenon/internal/moment"
	"xenon/core"
)

// A BranchRequest is the body of POST /branch/create: a new branch Name that
// begins as From was at a moment.
type BranchRequest struct {
	Name string        `json:"name"`
	From string        `json:"from"`
	At   moment.Moment `json:"at"`
}

// A Branch is a timeline with a name.
type Branch struct {
	Name     string          `json:"name"`
	Tenant   core.TenantID   `json:"tenant"`
	Timeline core.TimelineID `json:"timeline"`
	Postgres int             `json:"postgres"` // major version
	// Parent is the branch it was made from, "" for one that was imported;
	// StartLSN is where it began: the branch point, if it has a parent.
	Parent    string    `json:"parent,omitempty"`
	StartLSN  core.LSN  `json:"start_lsn"`
	Created   time.Time `json:"created,omitzero"`
	CommitLSN core.LSN  `json:"commit_lsn"`
}

// An EndpointUse is the answer of POST /endpoint/use: an endpoint that clients
// can connect to, and whether it was started for that.
type EndpointUse struct {
	Endpoint
	Started bool `json:"started"`
}

// A BranchRemoval is the answer of POST /branch/delete.
type BranchRemoval struct {
	Name string `json:"deleted"`
	// Left says what of it could not be taken away yet, and is later.
	Left string `json:"left,omitempty"`
}

// An OpenRequest is the body of POST /endpoint/open: a read-only endpoint that
// shows a branch at a moment, until the connection ends.
type OpenRequest struct {
	Branch string        `json:"branch"`
	At     moment.Moment `json:"at"`
}
