package safekeeper

import (
	"fmt"

	"xenon/core"
)

// Config is what one safekeeper needs to know; everything else it keeps on its
// disk.
type Config struct {
	// NodeID names this safekeeper for good. A directory belongs to one id.
	NodeID core.NodeID `toml:"id"`
	// Listen is where proposers, readers of WAL and HTTP clients connect.
	Listen string `toml:"listen"`
	Limits Limits `toml:"limits"`
}

// Limits bound what a safekeeper puts on its disk. At a limit appends wait,
// and the status says which key of this table lets them go on.
type Limits struct {
	// MaxBytes bounds the WAL of all timelines together; 0 is no bound.
	MaxBytes int64 `toml:"max_bytes"`
	// MaxTimelineBytes bounds the WAL of each timeline; 0 is no bound.
	MaxTimelineBytes int64 `toml:"max_timeline_bytes"`
	// LowWaterBytes is how much of the file system is to stay free. 0 means
	// the smaller of 1 GiB and 5 % of what was free at the start and what the
	// safekeeper's WAL took then; a negative value means none.
	LowWaterBytes int64 `toml:"low_water_bytes"`
}

const (
	defaultLowWater        = 1 << 30
	defaultLowWaterPercent = 5
)

func (c Config) check() error {
	if c.NodeID == 0 {
		return fmt.Errorf("safekeeper: id must be 1 or more")
	}
	if c.Limits.MaxBytes < 0 || c.Limits.MaxTimelineBytes < 0 {
		return fmt.Errorf("safekeeper %d: limits.max_bytes and limits.max_timeline_bytes must not be negative; 0 is no bound", c.NodeID)
	}
	return nil
}
