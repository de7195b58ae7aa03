package safekeeper

import (
	_ "xenon/core/xsync"
	_ "xenon/diskdrv"
)
