package pageclient

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"xenon/core"
	"xenon/core/env"
	"xenon/core/pageserver/bootset"
)

var le = binary.LittleEndian

// FetchBoot asks the pageserver at addr for what a server needs to start at
// lsn. It waits until the pageserver is there and has lsn, or ctx ends: one that
// has stopped below lsn goes on once it is mended, and to fail here would make a
// new term with every try. tell hears why it waits, each time that changes; it
// may be nil.
func FetchBoot(ctx context.Context, e env.Env, addr string, id core.TTID, lsn core.LSN, tell func(why error)) (*bootset.Set, error) {
	b, err := get(ctx, e, addr, bootset.Path(id, lsn), tell)
	if err != nil {
		return nil, fmt.Errorf("files to boot timeline %s at %s: %w", id, lsn, err)
	}
	var set bootset.Set
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("files to boot timeline %s at %s: %w: %w", id, lsn, env.ErrCorrupt, err)
	}
	if set.LSN != lsn {
		return nil, fmt.Errorf("files to boot timeline %s at %s are as of %s: %w", id, lsn, set.LSN, env.ErrCorrupt)
	}
	return &set, nil
}

// A Position is where a timeline stands on a pageserver.
type Position struct {
	Last        core.LSN `json:"last_record_lsn"` // the end of the last record that can be read
	SegmentSize uint32   `json:"wal_seg_size"`    // bytes
}

// FetchPosition asks the pageserver at addr how far a timeline is. It waits
// until the pageserver is there, or ctx ends.
func FetchPosition(ctx context.Context, e env.Env, addr string, id core.TTID) (p Position, err error) {
	b, err := get(ctx, e, addr, fmt.Sprintf("/v1/tenant/%s/timeline/%s", id.Tenant, id.Timeline), nil)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err == nil && (p.Last == 0 || p.SegmentSize == 0) {
		err = env.ErrCorrupt
	}
	if err != nil {
		return p, fmt.Errorf("position of timeline %s: %w", id, err)
	}
	return p, nil
}
