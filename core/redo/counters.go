package redo

// Counters are the cluster-wide counters that a server needs to start: those
// of a checkpoint, kept up to date by every record, and the settings in
// pg_control on which redo depends. The value is comparable.
type Counters struct {
	NextXID                        uint64 // with its epoch (FullTransactionId)
	NextOID                        uint32
	NextMulti, NextOffset          uint32
	OldestXID, OldestXIDDB         uint32
	OldestMulti, OldestMultiDB     uint32
	OldestCommitTs, NewestCommitTs uint32
	FullPageWrites                 bool
	Settings                       Settings
}

// Settings are what XLOG/PARAMETER_CHANGE records and pg_control holds.
type Settings struct {
	WALLevel             int32 // 0 minimal, 1 replica, 2 logical
	MaxConnections       int32
	MaxWorkers           int32
	MaxWALSenders        int32
	MaxPreparedXacts     int32
	MaxLocks             int32
	WALLogHints          bool
	TrackCommitTimestamp bool
	DataChecksums        bool // fixed by initdb; no record changes it
}

// LogHints is what [Applier] wants to know.
func (s Settings) LogHints() bool { return s.WALLogHints || s.DataChecksums }
