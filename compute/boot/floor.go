package boot

import (
	"slices"
	"strconv"
	"strings"

	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// SettingsFiles are where a server's settings stand, in the order in which it
// reads them. The last, [AutoConf], is what ALTER SYSTEM writes.
var SettingsFiles = []string{"postgresql.conf", AutoConf}

// AutoConf is where a server keeps what ALTER SYSTEM sets.
const AutoConf = "postgresql.auto.conf"

// A Floor is a setting that a server must not have less of than its WAL was
// written with: an archive is not recovered from, no standby starts, and
// prepared transactions find no place, or none for their locks
// (src/backend/access/transam/xlog.c, CheckRequiredParameterValues).
type Floor struct {
	Name     string
	Required int32
	unset    int32 // what a server has without the setting (src/backend/utils/misc/guc_tables.c)
}

// Lacking lists the settings that the control file demands more of than the
// settings files have: those of today may be lower than those of an earlier
// moment.
func Lacking(conf []bootset.File, s wal.ControlSettings) (list []Floor) {
	for _, f := range []Floor{
		{"max_connections", s.MaxConnections, 100},
		{"max_worker_processes", s.MaxWorkerProcesses, 8},
		{"max_wal_senders", s.MaxWALSenders, 10},
		{"max_prepared_transactions", s.MaxPreparedXacts, 0},
		{"max_locks_per_transaction", s.MaxLocksPerXact, 64},
	} {
		if have, known := setting(conf, f.Name); !known && f.unset < f.Required || known && have < f.Required {
			list = append(list, f)
		}
	}
	return list
}

// setting is the last value of a setting in the files that a server reads, in
// its order. One that is no number counts as 0.
func setting(conf []bootset.File, name string) (value int32, known bool) {
	for _, path := range SettingsFiles {
		for _, f := range conf {
			if f.Path != path {
				continue
			}
			for line := range strings.Lines(string(f.Content)) {
				line, _, _ = strings.Cut(line, "#")
				words := strings.Fields(strings.Replace(line, "=", " ", 1))
				if len(words) > 1 && strings.EqualFold(words[0], name) {
					n, _ := strconv.ParseInt(strings.Trim(words[1], "'"), 0, 32)
					value, known = int32(n), true
				}
			}
		}
	}
	return value, known
}

// twoPhaseDir holds the states of prepared transactions.
const twoPhaseDir = "pg_twophase/"

// Prepared tells whether the server starts with prepared transactions.
func (p *Plan) Prepared() bool {
	return slices.ContainsFunc(p.set.Files, func(f bootset.File) bool { return strings.HasPrefix(f.Path, twoPhaseDir) })
}
