// Package compute may know what pages a boot reads, and not the pageserver.
package compute

import (
	_ "xenon/core/pageserver"
	_ "xenon/core/pageserver/bootset"
	_ "xenon/realio"
)
