package pageserver

import "xenon/core"

// A tablespace is in dbs as its database 0, which has no relations. Where its
// directory was on the server that made it is of no interest: every server that
// boots here has it in place, below pg_tblspc. A database comes into being in it
// with its first relation, without a word in the WAL.

// ownSpace tells whether a tablespace is one that CREATE TABLESPACE made.
func ownSpace(spc core.OID) bool {
	return spc != core.DefaultTablespace && spc != core.GlobalTablespace
}

// inSpace makes the directory of a relation that is about to be made, where
// PostgreSQL does so by itself (TablespaceCreateDbspace).
func (s *state) inSpace(r core.Rel, lsn core.LSN) {
	if ownSpace(r.Spc) {
		s.database(dbID{r.Spc, 0}).sizes.grow(lsn, 1)
		s.database(dbID{r.Spc, r.DB}).sizes.grow(lsn, 1)
	}
}

// dropSpace ends a tablespace and what is left in it.
func (s *state) dropSpace(spc core.OID, lsn core.LSN) {
	for _, id := range s.databases(lsn) {
		if id.spc == spc {
			s.dropDatabase(id, lsn)
		}
	}
}
