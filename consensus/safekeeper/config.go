package safekeeper

import (
	"fmt"
	"time"

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
	Backup Backup `toml:"backup"`
}

// Backup says when WAL that does not fill a segment goes to the object store,
// and when all of it leaves the disk. Whole segments are stored at once.
type Backup struct {
	// PartialSeconds is how often the segment that is being written is stored,
	// if it has grown; 0 is 15 minutes, a negative value means never.
	PartialSeconds int `toml:"partial_seconds"`
	// IdleSeconds is after how long without a proposer and without news a
	// timeline leaves the disk; it comes back when somebody wants it. 0 is an
	// hour, a negative value means never.
	IdleSeconds int `toml:"idle_seconds"`
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
	// WALHoldSeconds is how long WAL is kept for a reader that does not get on,
	// or was last seen then: after that it gets it from the object store. 0 is
	// a minute.
	WALHoldSeconds int `toml:"wal_hold_seconds"`
}

const (
	defaultLowWater        = 1 << 30
	defaultLowWaterPercent = 5
	defaultHold            = time.Minute
	defaultPartial         = 15 * time.Minute // as Neon's partial_backup_timeout
	defaultIdle            = time.Hour
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

// span is a number of seconds of the configuration: 0 is usual, and never is
// longer than anything lasts.
func span(seconds int, usual time.Duration) time.Duration {
	switch {
	case seconds == 0:
		return usual
	case seconds < 0:
		return never
	}
	return time.Duration(seconds) * time.Second
}

const never = 1 << 62

func (c *Config) holdTime() time.Duration    { return span(c.Limits.WALHoldSeconds, defaultHold) }
func (c *Config) partialTime() time.Duration { return span(c.Backup.PartialSeconds, defaultPartial) }
func (c *Config) idleTime() time.Duration    { return span(c.Backup.IdleSeconds, defaultIdle) }
