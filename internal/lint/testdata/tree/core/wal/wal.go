// Package wal imports what only others may.
package wal

import (
	_ "bytes"

	_ "github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgproto3/v2"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/nobody/nothing"

	_ "xenon/core"
	_ "xenon/core/redo"
	_ "xenon/core/xsync"
)
