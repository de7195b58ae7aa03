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
// lsn. It waits until the pageserver is there and has lsn, or ctx ends.
func FetchBoot(ctx context.Context, e env.Env, addr string, id core.TTID, lsn core.LSN) (*bootset.Set, error) {
	b, err := get(ctx, e, addr, bootset.Path(id, lsn))
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
