// Package realio is production.
package realio

import (
	_ "github.com/hanwen/go-fuse/v2/fuse"

	_ "xenon/compute"
	_ "xenon/fuzz"
)
