package ctl

import (
	"xenon/core"
	"xenon/core/pageserver/bootset"
)

// An Export is what `xenon export` has to know of a branch at a moment: where
// its pages are, and what is not in them.
type Export struct {
	Branch     string          `json:"branch"`
	Tenant     core.TenantID   `json:"tenant"`
	Timeline   core.TimelineID `json:"timeline"`
	LSN        core.LSN        `json:"lsn"` // where a record may begin
	Pageserver string          `json:"pageserver"`
	// Conf are the settings files.
	Conf []bootset.File `json:"conf"`
}
