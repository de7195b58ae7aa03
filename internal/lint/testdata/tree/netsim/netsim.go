// Package netsim is a world.
package netsim

import (
	_ "github.com/anishathalye/porcupine"

	_ "xenon/consensus"
)
