package fuzz

import (
	"fmt"
	"path"
	"slices"

	"xenon/core"
	"xenon/core/wal"
	"xenon/diskdrv"
)

// A keeper is what a safekeeper has promised, and what of that was seen on its
// device: the durable image of its disk, which a power cut leaves.
type keeper struct {
	name string
	disk *diskdrv.Disk
	dir  string // of the timeline

	term   core.Term // the highest that it promised anything to
	flush  core.LSN  // that it last reported
	commit core.LSN  // that it last reported
	// dec has decoded its device up to checked.
	dec     *wal.Decoder
	checked core.LSN
	// rotten tells that old WAL on its device was damaged on purpose.
	rotten bool
	// adopting is the incarnation that was cutting off a tail when it was last
	// heard of, 0 if none was.
	adopting int
	// out tells that it was excluded, and has had no copy since.
	out bool
	// lost tells that its disk is lost, and it is still a member: disk is what it
	// was.
	lost  bool
	vault func() *vault // what of the timeline's WAL the object store holds
	buf   []byte        // WAL that was read
	file  []byte        // the control file that was read
	known struct {      // the one that was decoded last
		body []byte
		file controlFile
		err  error
	}
}

func newKeeper(name string, id core.TTID, disk *diskdrv.Disk, begin core.LSN) *keeper {
	return &keeper{name: name, disk: disk, dir: path.Join("timelines", id.Tenant.String(), id.Timeline.String()),
		dec: wal.NewDecoder(format, begin, 0), checked: begin, flush: begin, commit: begin}
}

// wal reads WAL from the device, and what was removed there from the object
// store. What is nowhere is zeroes. The result is
// valid until the next call.
func (k *keeper) wal(from, to core.LSN) []byte {
	k.buf = slices.Grow(k.buf[:0], max(0, int(to)-int(from)))[:max(0, int(to)-int(from))]
	for at := from; at < to; {
		off := at.SegmentOffset(segmentSize)
		part := k.buf[at-from:]
		part = part[:min(len(part), int(segmentSize-off))]
		name := path.Join(k.dir, core.SegmentName(1, at.Segment(segmentSize), segmentSize))
		n, err := k.disk.ReadDurable(name+".partial", part, int64(off))
		if err != nil {
			n, err = k.disk.ReadDurable(name, part, int64(off))
		}
		if err != nil {
			n = k.away(part, at)
		}
		clear(part[n:])
		at += core.LSN(len(part))
	}
	return k.buf
}

// reported checks that a flush LSN was no lie: whole records up to it are on
// the device.
func (k *keeper) reported(flush core.LSN) error {
	k.flush = flush
	if flush <= k.checked {
		return nil
	}
	if err := k.dec.Feed(k.checked, k.wal(k.checked, flush)); err != nil {
		return err
	}
	last := k.checked
	for {
		r, ok, err := k.dec.Next()
		if err != nil {
			return fmt.Errorf("%s reported flush LSN %s, but on its device WAL ends at %s: %w", k.name, flush, last, err)
		}
		if !ok {
			break
		}
		last = r.End
	}
	k.dec.Mark()
	k.checked = flush
	if last != flush && k.dec.Partial() != flush {
		return fmt.Errorf("%s reported flush LSN %s, but on its device the last whole record ends at %s", k.name, flush, last)
	}
	return nil
}

// cut forgets what lies behind lsn, where a new leader's log begins.
func (k *keeper) cut(lsn core.LSN) {
	if lsn < k.checked {
		k.checked = lsn
		k.dec.Reset(lsn, 0)
	}
}

// wounded is told that the end of the log was lost, behind what the control
// file knows to be committed: what was said of it is taken back, and no vote may
// rest on it.
func (k *keeper) wounded(commit core.LSN) {
	k.commit, k.flush = min(k.commit, commit), min(k.flush, commit)
	k.cut(commit)
}

// promise is the term in the control file on the device.
func (k *keeper) promise() (core.Term, error) {
	c, err := k.control()
	return c.Term, err
}
