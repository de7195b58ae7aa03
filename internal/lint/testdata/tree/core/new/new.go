// Package new stands in no rule of its own.
package new

import (
	_ "C"

	_ "xenon/core/pageserver/bootset"
	_ "xenon/core/wal"
)
