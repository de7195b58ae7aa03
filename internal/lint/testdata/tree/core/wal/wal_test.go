package wal_test

import (
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgproto3/v2"
	_ "github.com/nobody/nothing"
	_ "pgregory.net/rapid"

	_ "xenon/cmd/xenon"
	_ "xenon/netsim"
)
