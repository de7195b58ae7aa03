package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// autoConf is where a server keeps what ALTER SYSTEM sets, and reads last.
const autoConf = "postgresql.auto.conf"

// A floor is a setting that a server must not have less of than its WAL was
// written with: an archive is not recovered from, no standby starts, and
// prepared transactions find no place
// (src/backend/access/transam/xlog.c, CheckRequiredParameterValues).
type floor struct {
	name     string
	unset    int32 // what a server has without the setting (src/backend/utils/misc/guc_tables.c)
	required int32
}

func floors(s wal.ControlSettings) []floor {
	return []floor{
		{"max_connections", 100, s.MaxConnections},
		{"max_worker_processes", 8, s.MaxWorkerProcesses},
		{"max_wal_senders", 10, s.MaxWALSenders},
		{"max_prepared_transactions", 0, s.MaxPreparedXacts},
		{"max_locks_per_transaction", 64, s.MaxLocksPerXact},
	}
}

// carry adds to the settings files what the control file says that they have
// too little of: the settings of today may be lower than those of the exported
// moment.
func carry(conf []bootset.File, s wal.ControlSettings) []bootset.File {
	var lines strings.Builder
	for _, f := range floors(s) {
		if have, known := setting(conf, f.name); !known && f.unset < f.required || known && have < f.required {
			fmt.Fprintf(&lines, "%s = %d\n", f.name, f.required)
		}
	}
	if lines.Len() == 0 {
		return conf
	}
	i := slices.IndexFunc(conf, func(f bootset.File) bool { return f.Path == autoConf })
	if conf = slices.Clone(conf); i < 0 {
		i, conf = len(conf), append(conf, bootset.File{Path: autoConf})
	}
	text := string(conf[i].Content)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	conf[i].Content = []byte(text + "# as the exported WAL was written with\n" + lines.String())
	return conf
}

// setting is the last value of a setting in the files that a server reads, in
// its order. One that is no number counts as 0.
func setting(conf []bootset.File, name string) (value int32, known bool) {
	for _, path := range []string{"postgresql.conf", autoConf} {
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
