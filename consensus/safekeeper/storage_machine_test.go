package safekeeper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"

	"xenon/consensus"
	"xenon/core"
	"xenon/core/env"
	"xenon/core/wal"
	"xenon/diskdrv"
	"xenon/internal/killed"
)

// A storageMachine writes, syncs and truncates the WAL of one timeline and
// replaces its control file, on a disk that stands still at any operation,
// fails to sync, is cut from power with every fate of what was not synced, or
// whose process is killed. What was told to somebody is there afterwards, byte
// for byte, and nothing that was cut off comes back.
type storageMachine struct {
	choose killed.Choose
	disk   *diskdrv.Disk
	segs   segments
	format wal.Format

	enc     *wal.Encoder
	log     []byte     // what should be there, from machineStart on
	ends    []core.LSN // of the records in log
	unsent  []byte     // of the last record: bytes that are not written yet
	acked   core.LSN   // what was told to be durable
	written core.LSN
	control consensus.Control  // durable, told
	other   *consensus.Control // whose writing may or may not have been done
	cut     bool               // after a start nothing is written before a truncation
}

const (
	machineSize  = wal.MinSegmentSize
	machineStart = core.LSN(3 * machineSize)
	machineDir   = "timeline"
)

// storageLaws is one run of the machine.
func storageLaws(choose killed.Choose) error {
	m := &storageMachine{choose: choose, disk: diskdrv.NewDisk(diskdrv.DiskOptions{
		Rand: rand.New(rand.NewPCG(uint64(choose(1<<16)), 1)), Faults: diskdrv.Faults{Crash: diskdrv.CrashMode(choose(5))}})}
	m.format = wal.Format{Version: wal.PG15, SegmentSize: machineSize, SystemID: 7, TimelineID: pgTimeline}
	disk := m.disk.FS(nil)
	m.control = consensus.Control{
		Config: testControl.Config, Server: consensus.Server{PGVersion: 150018, SystemID: 7, SegmentSize: machineSize},
		TimelineStart: machineStart, LocalStart: machineStart, Commit: machineStart, Horizon: machineStart,
	}
	err := errors.Join(disk.Mkdir(machineDir), disk.SyncDir("."), m.write(disk, &m.control))
	if err != nil {
		return err
	}
	m.acked, m.written = machineStart, machineStart
	for range 4 {
		if err := m.live(); err != nil {
			return err
		}
	}
	return nil
}

func (m *storageMachine) write(disk env.FS, c *consensus.Control) error {
	return writeSealed(disk, machineDir, controlName, controlMagic, encodeControl(1, testID, c))
}

// live is one incarnation, from its start to its end.
func (m *storageMachine) live() error {
	if err := m.start(); err != nil {
		return err
	}
	f := diskdrv.Faults{Crash: diskdrv.CrashMode(m.choose(5))}
	if m.choose(4) == 0 {
		f.SyncError = 200
	}
	m.disk.SetFaults(f)
	if m.choose(3) > 0 {
		m.disk.SetTrap(&diskdrv.Trap{Kinds: []string{"write", "sync", "rename", "remove", "allocate"}, Left: 1 + m.choose(16), Then: func() {}})
	}
	for range 1 + m.choose(8) {
		if err := m.step(); err != nil {
			break // out of service: to be loaded anew
		}
	}
	m.disk.SetTrap(nil)
	m.disk.SetFaults(diskdrv.Faults{Crash: f.Crash})
	m.segs.close()
	if m.choose(4) == 0 {
		m.disk.Killed()
	} else {
		m.disk.CutPower()
	}
	return nil
}

// start loads the timeline as a node does, and holds it to what was told.
func (m *storageMachine) start() error {
	m.segs = segments{disk: m.disk.FS(nil), dir: machineDir, size: machineSize}
	if err := m.segs.disk.SyncDir(machineDir); err != nil {
		return err
	}
	body, err := readSealed(m.segs.disk, machineDir, controlName, controlMagic)
	if err != nil {
		return fmt.Errorf("the control file is gone: %w", err)
	}
	c, err := decodeControl(body, 1, testID)
	if err != nil {
		return err
	}
	if o := m.other; o != nil && c.Term == o.Term && c.Commit == o.Commit {
		m.control = *o
	} else if c.Term != m.control.Term || c.Commit != m.control.Commit {
		return fmt.Errorf("the control file is of term %d, commit LSN %s; %d, %s was durable", c.Term, c.Commit, m.control.Term, m.control.Commit)
	}
	m.other = nil
	if err := errors.Join(m.write(m.segs.disk, &m.control), m.segs.checkSegments(&c)); err != nil {
		return err
	}
	tail, err := m.segs.findEnd(m.format, &c, 0)
	if err != nil {
		return err
	}
	if tail.End < m.acked || tail.End > machineStart+core.LSN(len(m.log)) {
		return fmt.Errorf("the log ends at %s; told was %s, written up to %s", tail.End, m.acked, m.written)
	}
	got, err := m.read(tail.End)
	if want := m.log[:tail.End-machineStart]; err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("the log up to %s is not what was written: %w", tail.End, err)
	}
	// What was written behind the end may be on the device all the same, and come
	// back until a truncation has been done.
	m.acked, m.written, m.cut = tail.End, tail.End, true
	return nil
}

// read is the log up to an LSN.
func (m *storageMachine) read(to core.LSN) (b []byte, err error) {
	r := segmentReader{s: &m.segs}
	defer r.close()
	for at := machineStart; at < to; {
		p := make([]byte, to-at)
		n, err := r.read(p, at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || n == 0 {
			return b, err
		}
		b, at = append(b, p[:n]...), at+core.LSN(n)
	}
	return b, nil
}

func (m *storageMachine) step() error {
	switch k := m.choose(8); {
	case m.cut || k == 0:
		return m.truncate()
	case k < 4:
		return m.append()
	case k < 6:
		if err := m.segs.sync(); err != nil {
			return err
		}
		m.acked = max(m.acked, m.lastEnd(m.written))
		return nil
	default:
		return m.commit()
	}
}

// lastEnd is where the last record ends that is whole below an LSN.
func (m *storageMachine) lastEnd(to core.LSN) core.LSN {
	for n := len(m.ends); n > 0; n-- {
		if m.ends[n-1] <= to {
			return m.ends[n-1]
		}
	}
	return machineStart
}

// append writes records, the last one perhaps in part.
func (m *storageMachine) append() error {
	b := m.unsent
	for range 1 + m.choose(3) {
		rec := wal.Record{Rmgr: wal.RmgrXLOG, Info: wal.XLOGNoop, Main: bytes.Repeat([]byte{byte(m.control.Term), byte(len(m.ends))}, 1+m.choose(1<<(2+m.choose(14))))}
		n := len(b)
		var err error
		if b, err = m.enc.Append(b, &rec); err != nil {
			return err
		}
		m.log, m.ends = append(m.log, b[n:]...), append(m.ends, m.enc.Pos())
	}
	part := len(b)
	if m.choose(2) == 0 {
		part = m.choose(part + 1)
	}
	if err := m.segs.prepare(m.written, m.written+core.LSN(part)); err != nil {
		return err
	}
	n, err := m.segs.write(m.written, b[:part])
	m.unsent, m.written = b[n:], m.written+core.LSN(n)
	return err
}

// replace makes c the control file.
func (m *storageMachine) replace(c consensus.Control) error {
	m.other = &c
	if err := m.write(m.segs.disk, &c); err != nil {
		return err
	}
	m.control, m.other = c, nil
	return nil
}

func (m *storageMachine) commit() error {
	c := m.control
	c.Commit = max(c.Commit, m.lastEnd(machineStart+core.LSN(m.choose(int(m.acked-machineStart)+1))))
	return m.replace(c)
}

// truncate is what an elected message asks for: a promise, the cut, and then the
// history.
func (m *storageMachine) truncate() error {
	c := m.control
	c.Term++
	at := m.control.Commit
	if m.choose(2) == 0 {
		at = max(at, m.lastEnd(m.written))
	} else if n := len(m.ends); n > 0 {
		at = max(at, m.lastEnd(m.ends[m.choose(n)]))
	}
	at = min(at, m.lastEnd(m.written))
	if err := m.replace(c); err != nil {
		return err
	}
	m.acked, m.unsent = min(m.acked, at), nil
	if err := m.segs.truncate(at); err != nil {
		return err
	}
	m.log = m.log[:at-machineStart]
	for len(m.ends) > 0 && m.ends[len(m.ends)-1] > at {
		m.ends = m.ends[:len(m.ends)-1]
	}
	prev, err := m.segs.recordBefore(m.format, machineStart, at)
	if err != nil {
		return err
	}
	m.enc, m.written, m.cut = wal.NewEncoder(m.format, at, prev), at, false
	c.History = c.History.With(consensus.TermSwitch{Term: c.Term, LSN: at})
	return m.replace(c)
}

func TestStorageLaws(t *testing.T) { killed.Holds(t, storageLaws) }
