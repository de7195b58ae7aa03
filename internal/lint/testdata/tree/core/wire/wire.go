// Package wire may know the messages of consensus, and not its node.
package wire

import (
	_ "github.com/jackc/pgproto3/v2"

	_ "xenon/consensus"
	_ "xenon/consensus/safekeeper"
)
