package export

import (
	"strings"
	"testing"

	"xenon/compute/boot"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

func TestCarry(t *testing.T) {
	control := wal.ControlSettings{MaxConnections: 300, MaxWorkerProcesses: 8, MaxWALSenders: 10, MaxPreparedXacts: 5, MaxLocksPerXact: 64}
	const added = "# as the exported WAL was written with\n"
	file := func(path, text string) bootset.File { return bootset.File{Path: path, Content: []byte(text)} }
	for _, tt := range []struct {
		name string
		conf []bootset.File
		want string // of postgresql.auto.conf
	}{
		{"nothing is set", nil, added + "max_connections = 300\nmax_prepared_transactions = 5\n"},
		{"enough of all", []bootset.File{file("postgresql.conf", "max_connections = 400 # many\n"), file("postgresql.auto.conf", "Max_Prepared_Transactions '5'\n")},
			"Max_Prepared_Transactions '5'\n"},
		{"too little", []bootset.File{file("postgresql.conf", "max_connections=400\nmax_prepared_transactions = 9"), file("postgresql.auto.conf", "max_connections = '100'")},
			"max_connections = '100'\n" + added + "max_connections = 300\n"},
		{"the last counts", []bootset.File{file("postgresql.conf", "max_connections = 50\nmax_connections = 301\n#max_connections = 2\nmax_prepared_transactions = 5\n")}, ""},
		{"no number", []bootset.File{file("postgresql.conf", "max_connections = 300\nmax_prepared_transactions = many\n")}, added + "max_prepared_transactions = 5\n"},
		{"less than usual of the others", []bootset.File{file("postgresql.conf", "max_connections = 300\nmax_prepared_transactions = 5\nmax_wal_senders = 0\nmax_worker_processes = 0x7\nmax_locks_per_transaction = 10")},
			added + "max_worker_processes = 8\nmax_wal_senders = 10\nmax_locks_per_transaction = 64\n"},
	} {
		before := ""
		for _, f := range tt.conf {
			before += string(f.Content)
		}
		got := ""
		for _, f := range carry(tt.conf, control) {
			if f.Path == boot.AutoConf {
				got += string(f.Content)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		after := ""
		for _, f := range tt.conf {
			after += string(f.Content)
		}
		if before != after || strings.Contains(after, added) {
			t.Errorf("%s: the caller's files were changed", tt.name)
		}
	}
}
