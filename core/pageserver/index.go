package pageserver

import "xenon/core/pageserver/remote"

// An Index is what the object store says of a timeline; see [remote.Index].
type Index = remote.Index

// A LayerEntry names one layer object; see [remote.LayerEntry].
type LayerEntry = remote.LayerEntry
