package compute

import (
	"fmt"
	"slices"

	"xenon/compute/boot"
	"xenon/core/pageserver/bootset"
	"xenon/core/wal"
)

// roomForPrepared are the settings that a server needs more of than it was given,
// by files or on its command line, to take over the prepared transactions that it
// starts with: a branch of an earlier moment has the settings of today. They
// stand on the command line, so that they end with this server and are not kept
// for the branch.
func roomForPrepared(files []bootset.File, given []Setting, ctl *wal.Control) (list []Setting) {
	line := ""
	for _, s := range given {
		line += fmt.Sprintf("%s = '%s'\n", s.Name, s.Value)
	}
	files = append(slices.Clip(files), bootset.File{Path: boot.AutoConf, Content: []byte(line)})
	for _, f := range boot.Lacking(files, ctl.Settings) {
		list = append(list, Setting{f.Name, fmt.Sprint(f.Required)})
	}
	return list
}

// CommandLine are the settings that a server of a major version is launched with,
// unless it needs more to take over what its moment left: see [Launch.Settings].
func (c Config) CommandLine(major int) []Setting {
	line := append(fixedSettings(major), c.Settings...)
	if c.Static != 0 {
		line = append(line, staticSettings()...)
	}
	return line
}

// fixedSettings are what the commit path rests on. They stand on the server's
// command line because that wins over every file: with fsync=off in
// postgresql.auto.conf and a reload, commits would no longer wait for the
// quorum, and nothing would tell.
func fixedSettings(major int) []Setting {
	settings := []Setting{
		// A commit waits in fdatasync of the WAL mount.
		{"fsync", "on"},
		{"wal_sync_method", "fdatasync"},
		// Torn pages cannot happen: every page is rebuilt from the log.
		{"full_page_writes", "off"},
		{"wal_log_hints", "off"},
		// Segments are only ever written forward, and nobody reads them back
		// but the quorum.
		{"wal_init_zero", "off"},
		{"wal_recycle", "off"},
		{"wal_level", "replica"},
		{"archive_mode", "off"},
		// Crash recovery in place could show what no quorum has.
		{"restart_after_crash", "off"},
		// Shared memory by names that can be found and removed.
		{"dynamic_shared_memory_type", "posix"},
		{"shared_memory_type", "mmap"},
		{"logging_collector", "off"},
		{"log_destination", "stderr"},
		{"data_sync_retry", "off"},
	}
	if major >= 17 {
		// Summaries are of WAL that is behind the quorum, in a directory that ends
		// with the server.
		settings = append(settings, Setting{"summarize_wal", "off"})
	}
	return settings
}
