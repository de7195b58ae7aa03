// Package consensus is pure.
package consensus

import _ "xenon/core/xsync"
