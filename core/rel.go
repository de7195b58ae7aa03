package core

import (
	"fmt"
	"strconv"
	"strings"
)

// An OID is PostgreSQL's object identifier.
type OID uint32

// A Fork is one of the files of a relation (src/include/common/relpath.h).
type Fork uint8

// The forks in PostgreSQL's numbering.
const (
	MainFork Fork = 0
	FSMFork  Fork = 1
	VMFork   Fork = 2
	InitFork Fork = 3
)

func (f Fork) String() string {
	switch f {
	case MainFork:
		return "main"
	case FSMFork:
		return "fsm"
	case VMFork:
		return "vm"
	case InitFork:
		return "init"
	}
	return fmt.Sprintf("fork%d", uint8(f))
}

// ParseFork reads main, fsm, vm or init.
func ParseFork(s string) (Fork, error) {
	for f := MainFork; f <= InitFork; f++ {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("fork %q: want main, fsm, vm or init", s)
}

// Tablespaces every cluster has (src/include/catalog/pg_tablespace.dat).
const (
	DefaultTablespace OID = 1663
	GlobalTablespace  OID = 1664
)

// A Rel is one fork of a relation: tablespace, database, relfilenode, fork.
type Rel struct {
	Spc, DB, Node OID
	Fork          Fork
}

// String is spc/db/node with the fork's name after it unless it is main.
func (r Rel) String() string {
	s := fmt.Sprintf("%d/%d/%d", r.Spc, r.DB, r.Node)
	if r.Fork != MainFork {
		s += "_" + r.Fork.String()
	}
	return s
}

// ParseRel reads spc/db/node.
func ParseRel(s string) (Rel, error) {
	parts := strings.Split(s, "/")
	var v [3]uint64
	ok := len(parts) == 3
	for i := 0; ok && i < 3; i++ {
		n, err := strconv.ParseUint(parts[i], 10, 32)
		ok, v[i] = err == nil, n
	}
	if !ok {
		return Rel{}, fmt.Errorf("relation %q: want tablespace/database/relfilenode as in 1663/5/16384", s)
	}
	return Rel{Spc: OID(v[0]), DB: OID(v[1]), Node: OID(v[2])}, nil
}
