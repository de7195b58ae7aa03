package safekeeper_test

import (
	"os"
	"testing"
	"time"

	"xenon/consensus"
	"xenon/consensus/safekeeper"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/core/wire/http1"
	"xenon/realio"
)

// BenchmarkAppendFlush is one append of one record, its fsync and its answer
// over a TCP connection, on the file system of /var/tmp. Beside it stands what
// the same writes and fsyncs cost alone.
func BenchmarkAppendFlush(b *testing.B) {
	dir, err := os.MkdirTemp("/var/tmp", "safekeeper-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	real := realio.New(realio.Options{Root: dir, Log: quiet, Grace: time.Millisecond})
	r := boot(b, real, real, safekeeper.Limits{LowWaterBytes: -1})
	server := pg
	server.SegmentSize = core.DefaultSegmentSize
	body := safekeeper.NewCreation(ttid, conf, server, startAt, nil)
	if err := http1.Call(real.Context(), r.e, r.addr, "POST", "/v1/tenant/timeline", body, nil); err != nil {
		b.Fatal(err)
	}
	p := r.push()
	p.sendGreeting(server)
	p.mustReceive()
	v := p.vote(1)
	p.elect(1, v.Flush, consensus.History{{Term: 1, LSN: v.Flush}})
	big := format
	big.SegmentSize = server.SegmentSize
	w := newWAL(startAt, 0)
	w.enc = wal.NewEncoder(big, startAt, 0)
	b.ReportAllocs()
	for b.Loop() {
		at := w.enc.Pos()
		if _, err := p.append(1, at, w.records(1, 500), at); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteSync is the floor: pwrite and fdatasync of the same size into
// a file of the same kind.
func BenchmarkWriteSync(b *testing.B) {
	dir, err := os.MkdirTemp("/var/tmp", "safekeeper-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	real := realio.New(realio.Options{Root: dir, Log: quiet, Grace: time.Millisecond})
	defer real.Close()
	f, err := real.FS().Open("f", env.Write|env.Create)
	if err != nil {
		b.Fatal(err)
	}
	f.WriteAt(make([]byte, core.DefaultSegmentSize), 0)
	f.Sync(env.SyncFull)
	buf := make([]byte, 300)
	off := int64(0)
	for b.Loop() {
		f.WriteAt(buf, off)
		if err := f.Sync(env.SyncData); err != nil {
			b.Fatal(err)
		}
		off = (off + int64(len(buf))) % (core.DefaultSegmentSize - 300)
	}
}
