package home

import (
	"fmt"
	"os"

	"github.com/pelletier/go-toml/v2"

	"xenon/consensus/safekeeper"
)

// Settings are the keys of DIR/xenon.toml that people write there.
type Settings struct {
	// CrossCheck is how many percent of the pages that servers write are compared
	// with redo; nil if nobody said.
	CrossCheck *float64 `toml:"cross_check"`
	// Reads is what reads of endpoints promise, "available" or "linearizable";
	// ReadGate also keeps answers back that would leave after a lease.
	Reads    string `toml:"reads"`
	ReadGate bool   `toml:"read_gate"`
	// Limits bound the WAL that each safekeeper keeps on its disk; Backup says
	// when WAL that fills no segment goes to the object store.
	Limits safekeeper.Limits `toml:"limits"`
	Backup safekeeper.Backup `toml:"backup"`
}

// Settings reads what people wrote into xenon.toml.
func (h *Home) Settings() (s Settings, err error) {
	b, err := os.ReadFile(h.Path(markName))
	if err == nil {
		err = toml.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", h.Path(markName), err)
	}
	return s, nil
}
