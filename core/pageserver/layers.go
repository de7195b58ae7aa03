package pageserver

import (
	"context"

	"xenon/core"
	"xenon/core/layer"
	"xenon/core/pageserver/remote"
)

// What a timeline has on its disk, for whoever brings it to the object store.
//
// A flush writes one delta layer below the timeline's directory and then the
// manifest, which names all layers and the record up to which they hold
// everything: the disk-consistent record. Whoever uploads waits for that to
// move ([Timeline.AwaitFlush]), uploads what [Timeline.NotUploaded] lists in
// its order, and tells by [Timeline.Uploaded]. From then on the file is a copy
// that may go ([Timeline.Evict]); [Layers] gives the bytes back when a read
// needs them.

// A Layers gives the bytes of layers that are in the object store and not in
// the timeline's directory. It may be called by any task.
type Layers interface {
	// Source makes a layer readable: in the object store, or by downloading it
	// to path first, which is below the root of Env.FS and where the timeline
	// looks before it asks. The error of a layer that is gone or damaged is
	// the reads' error; it is asked for again when the next read needs it.
	Source(ctx context.Context, l remote.LayerEntry, path string) (layer.Source, error)
}

// A LocalLayer is a delta layer in the timeline's directory.
type LocalLayer struct {
	remote.LayerEntry        // Generation and Upload are 0 before it is uploaded
	Path              string // below the root of Env.FS; the file never changes
	// Ends is the disk-consistent record that the timeline has with this layer
	// and all before it.
	Ends Record
}

// DiskConsistent is the last record that is in the layers of the manifest, as
// every record before it: a restart goes on behind it.
func (t *Timeline) DiskConsistent() Record { return Record{t.index.LSN, t.index.PrevLSN} }

// AwaitFlush waits until the disk-consistent record is above lsn, and returns
// it. The record also moves without a layer, when there was nothing to store.
func (t *Timeline) AwaitFlush(ctx context.Context, lsn core.LSN) (Record, error) { panic("soon") }

// NotUploaded lists the layers that are not in the object store, oldest first,
// and the disk-consistent record that the timeline has with them.
func (t *Timeline) NotUploaded() (layers []LocalLayer, disk Record) { panic("soon") }

// Uploaded notes in the manifest under which generation and upload number
// layers are in the object store, and in an index of there.
func (t *Timeline) Uploaded(ctx context.Context, layers []remote.LayerEntry) error { panic("soon") }

// Evict removes the file of a layer that is in the object store. Reads that
// are at it go on.
func (t *Timeline) Evict(ctx context.Context, name string) error { panic("soon") }

// Flush stores all that was ingested before the call: it freezes the open
// layer and waits until the disk-consistent record is there.
func (t *Timeline) Flush(ctx context.Context) error { panic("soon") }

// LayerCount is how many layers the timeline has above its base, and their
// bytes.
func (t *Timeline) LayerCount() (n int, bytes int64) { panic("soon") }

// An Opening says which timeline is opened, and with what.
type Opening struct {
	ID core.TTID
	// Dir is the timeline's own directory below the root of Env.FS; it exists.
	Dir   string
	Cache *layer.Cache // of blocks; shared by all timelines of a node
	// Index is what the object store says of the timeline. Delta layers that
	// it names and the manifest does not are the timeline's; if the manifest
	// goes no further, its other layers are dropped.
	Index *Index
	// Ancestor is the timeline that this one branches off, which has reached
	// Index.LSN; nil if the base is image layers of its own.
	Ancestor *Timeline
	// Layers gives the bytes of layers that are not in Dir; nil if all are.
	Layers Layers
}
