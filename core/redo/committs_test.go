package redo

import (
	"encoding/binary"
	"testing"

	"xenon/core"
	"xenon/core/wal"
)

// TestCommitTimestampsSwitch turns track_commit_timestamp on, on again, and
// off: the page of the next transaction comes, stays, and all goes.
func TestCommitTimestampsSwitch(t *testing.T) {
	setting := func(on byte) wal.Record {
		return wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGParameterChange, Main: append(words(100, 8, 10, 0, 64, 1), 0, on, 0, 0)}
	}
	commit := func(xid uint32) wal.Record {
		return wal.Record{Rmgr: wal.RmgrXact, XID: xid, Main: binary.LittleEndian.AppendUint64(nil, 77)}
	}
	clog := "patch " + slruKey(core.Clog, 0).String()
	page := "patch " + slruKey(core.CommitTs, 6).String()
	steps := []struct {
		name           string
		rec            wal.Record
		want           string
		oldest, newest uint32
	}{
		{"a commit while it is off", commit(4999), clog + ": clog status 1 4999\ncommitted at 77\n", 0, 0},
		{"on", setting(1), page + ": zero\n", 5000, 5000},
		{"a commit while it is on", commit(5003), clog + ": clog status 1 5003\n" + page + ": commit ts 77 origin 0 89\ncommitted at 77\n", 5000, 5003},
		{"on, as it was", setting(1), "", 5000, 5003},
		{"off", setting(0), "cut pg_commit_ts\n", 0, 0},
		{"a commit while it is off again", commit(5004), clog + ": clog status 1 5004\ncommitted at 77\n", 0, 0},
	}
	var d Effects
	c := Counters{NextXID: 4990}
	for _, s := range steps {
		list, err := d.Decode(&s.rec, &c)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := describe(list); got != s.want {
			t.Errorf("%s: got\n%swant\n%s", s.name, got, s.want)
		}
		if c.OldestCommitTs != s.oldest || c.NewestCommitTs != s.newest {
			t.Errorf("%s: times of %d to %d, want %d to %d", s.name, c.OldestCommitTs, c.NewestCommitTs, s.oldest, s.newest)
		}
	}
}
