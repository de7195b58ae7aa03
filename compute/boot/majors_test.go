package boot_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"xenon/compute/boot"
	"xenon/core"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// setOf is the boot set of a server of a major version at x.
func setOf(v *wal.Version, x core.LSN) *bootset.Set {
	ctl := controlIn(fmt.Sprintf("major%d", v.Major))
	return &bootset.Set{LSN: x, SystemID: ctl.SystemID, Major: v.Major, SegmentSize: ctl.SegmentSize, Control: ctl.Encode()}
}

// TestPlansOfMajors plans a start of each version: the control file names a
// checkpoint of its own, which its pages of WAL hold.
func TestPlansOfMajors(t *testing.T) {
	now := time.Unix(1790000000, 0)
	for _, v := range wal.Versions {
		set := setOf(v, 50<<20+5*core.WALPageSize-64)
		plan, err := boot.New(set, 0, now, nil)
		if err != nil {
			t.Errorf("%s: %v", v, err)
			continue
		}
		var control []byte
		for _, f := range plan.Contents().Files {
			if f.Path == boot.ControlFile {
				control = f.Content
			}
		}
		ctl, err := wal.DecodeControl(control)
		if err != nil || ctl.Version() != v || ctl.State != wal.StateShutDown || ctl.CheckPointLSN != plan.Boot.Start || ctl.CheckPoint.Time != now.Unix() {
			t.Errorf("%s: control file %+v, %v", v, ctl, err)
			continue
		}
		segment := plan.Segments()[0].Content
		begin := core.SegmentStart(set.LSN.Segment(set.SegmentSize), set.SegmentSize)
		tail, err := wal.FindEnd(ctl.Format(), func(p []byte, at core.LSN) (int, error) {
			return copy(p, segment[min(at-begin, core.LSN(len(segment))):]), nil
		}, begin, 0)
		if err != nil || tail.Records != 1 || tail.Last != ctl.CheckPointLSN || tail.End != plan.Boot.End {
			t.Errorf("%s: the segment has %+v, %v", v, tail, err)
		}
		set.Major++
		if _, err := boot.New(set, 0, now, nil); err == nil || !strings.Contains(err.Error(), v.String()) {
			t.Errorf("%s: the control file of another version: %v", v, err)
		}
	}
}
