package wal

// Custom tells whether a resource manager is an extension's: 128 to 255
// (src/include/access/rmgr.h, RM_MIN_CUSTOM_ID).
func (id RmgrID) Custom() bool { return id >= minCustomRmgr }

// reserved are the ids that extensions have reserved
// (https://wiki.postgresql.org/wiki/CustomWALResourceManagers). Nothing keeps
// another extension from using them: they are hints for people.
var reserved = map[RmgrID]string{
	129: "OrioleDB", 130: "EnterpriseDB Bluefin", 131: "EnterpriseDB Bluefin2", 132: "EnterpriseDB Marlin",
	133: "EnterpriseDB Marlin2", 134: "Neon", 135: "PostgresPro AQO", 136: "PostgresPro sr_plan", 137: "pg_analytics",
	138: "PGroonga", 139: "EnterpriseDB Hsphere", 149: "pg_textsearch", 241: "Columnar",
}

// ReservedFor is the extension for which an id from 128 on is reserved, as far
// as is known, else "". 128 is everybody's, for experiments.
func (id RmgrID) ReservedFor() string { return reserved[id] }
